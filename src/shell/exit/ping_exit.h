// PingExit: ICMP echo through an exit, by unprivileged ping sockets (icmp(7), ping_group_range), else raw
// ones where we may have them, else not at all, which is counted.
#pragma once
#include <map>

#include "shell/exit/exit_context.h"

namespace macrovpn::shell {

class PingExit {
 public:
  explicit PingExit(ExitContext& context);
  ~PingExit();
  void send(Bytes packet, const IpHeader&, LeaseNumber);  // an echo request that was judged
  void sweep(Mono now);
  void forget(LeaseNumber);
  size_t open() const { return pings_.size(); }

 private:
  enum class Kind : uint8_t {
    datagram,
    raw
  };  // raw: shows all ICMP of the host, of which we take our id's echoes
  struct Key {
    LeaseNumber lease;
    IpFamily family{};
    uint16_t id = 0;  // the client's
    auto operator<=>(const Key&) const = default;
  };
  struct Ping {
    Key key;
    Kind kind{};
    Fd socket;
    uint16_t outside_id = 0;
    Mono last;
  };
  using Pings = std::map<Key, std::unique_ptr<Ping>>;

  Ping* find_or_open(const Key&);
  void on_readable(Ping&);
  void reply(Ping&, const IpAddress& from, Bytes icmp);
  Pings::iterator close(Pings::iterator);

  ExitContext& context_;
  Pings pings_;
  PerLease per_lease_;
  uint16_t next_id_;
};

}  // namespace macrovpn::shell
