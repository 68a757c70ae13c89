// PortMapper: keeps one UDP port open at the home's router, so that others can call.  A state machine without I/O.
//
//   asks      PCP, then NAT-PMP, then UPnP; each kTries times, 250 ms, 500 ms, 1 s.  Who refuses is not asked twice in a round.
//   keeps     a lease of kLease seconds, asked for again when half of it has passed, and then at half of what is left (RFC 6887 §11.2.1)
//   notices   that the router has restarted and knows nothing any more: its epoch stands lower than it should (RFC 6887 §8.5), in an
//             announcement or in an answer to a question that is asked every `check`.  Then it asks for the mapping at once, every
//             kLeastRenewal at most.
//   ends      takes the mapping away
//   failed    tries all three again after kRetry
//
// Believed is only what comes from the router's address and port and, with PCP, has our nonce: others on the LAN can forge the rest, and
// a forged one costs a question more, in kLeastRenewal one at most.  That the outside address is right is proved by nobody but whoever calls it.
#pragma once
#include <optional>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "core/discovery/port_control.h"

namespace macrovpn::discovery {

enum class MappedBy : uint8_t { nobody, pcp, nat_pmp, upnp };
const char* name_of(MappedBy);

struct PortMapping {
  enum class State : uint8_t { off, asking, open, failed } state = State::off;
  MappedBy by = MappedBy::nobody;
  std::optional<IpAddress> outside_address;  // as the router says; UPnP and NAT-PMP may not know it
  uint16_t outside_port = 0;
  uint32_t lifetime = 0;      // seconds, of the last lease
  uint64_t renewed = 0;       // leases after the first
  uint64_t restarts = 0;      // of the router, noticed
  bool refused = false;       // failed: somebody answered, and said no
  unsigned silent = 0;        // open: questions whether it still stands, one after the other, that the router did not answer
};

// What the shell asks a helper to do by UPnP; its answer comes by on_upnp().
struct UpnpWish {
  enum class What : uint8_t { add, remove } what = What::add;
  uint16_t inside_port = 0, wanted_port = 0;
  uint32_t lifetime = 0;
};
struct UpnpTold {
  enum class What : uint8_t { added, no_router, refused } what = What::no_router;
  uint16_t outside_port = 0;
  std::optional<IpAddress> outside;
};

class PortMapper {
 public:
  static constexpr uint32_t kLease = 3600;
  static constexpr int kTries = 3;
  static constexpr Duration kFirstWait = 250ms, kUpnpWait = 15s, kRetry = std::chrono::minutes(10), kLeastRenewal = 4s;
  static constexpr Duration kUsualCheck = 60s;
  struct Config {
    IpAddress router;  // the gateway of the default route
    IpAddress inside_address;
    uint16_t inside_port = 0;
    Duration check = kUsualCheck;  // of the router's epoch; of a mapping by UPnP, which has none
  };
  PortMapper(const Config&, Rng&);

  void start(Mono now);
  void stop();  // takes the mapping away; nothing happens after
  void on_datagram(Mono now, const Endpoint& from, Bytes);  // on the socket that asks, or that hears announcements
  void on_upnp(Mono now, const UpnpTold&);
  void on_deadline(Mono now);
  Mono next_deadline() const { return std::min(next_, check_at_); }

  std::vector<std::vector<uint8_t>> take_datagrams() { return std::exchange(out_, {}); }  // for the router's port 5351
  std::optional<UpnpWish> take_upnp() { return std::exchange(upnp_, {}); }
  const PortMapping& mapping() const { return mapping_; }
  const Config& config() const { return config_; }

 private:
  using Told = port_control::Told;
  void ask(Mono now);  // by `by_`, once more
  void next_way(Mono now);
  void opened(Mono now, uint16_t outside_port, const std::optional<IpAddress>& outside, uint32_t lifetime);
  void on_epoch(Mono now, uint32_t epoch);
  void lost(Mono now);
  port_control::Wish wish(uint32_t lifetime) const;
  MappedBy way_of(port_control::Protocol) const;

  Config config_;
  Rng& rng_;
  port_control::Nonce nonce_{};
  PortMapping mapping_;
  MappedBy by_ = MappedBy::nobody;  // who is asked
  int tries_ = 0;
  Mono next_ = kNever, check_at_ = kNever, expires_ = kNever, asked_at_ = kLongAgo;
  std::optional<std::pair<uint32_t, Mono>> epoch_;
  std::vector<std::vector<uint8_t>> out_;
  std::optional<UpnpWish> upnp_;
};

}  // namespace macrovpn::discovery
