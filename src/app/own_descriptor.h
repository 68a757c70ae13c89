// OwnDescriptor: what a relay says of itself: when it is signed, as what, and who hears of it.
//
//   a new body    when what it says has changed, 10 minutes after the last one at the soonest; but at once when it begins to end
//   a renewal     of the body that is there: with a new prekey, and every 12 h ± 10 %; a new body in its place where something was measured of
//                 others since: that alone is no reason to sign (but in a lab with a short week)
//
// The second in which it signs is later than any in which it signed before: else two bodies of one second would convict it.  The last one
// is on disk before anybody hears of the signature (DirectoryStore::put_own), and stands in the descriptor's own file as well.
//
// Where the network asks for work, that of an epoch is searched for two days before the epoch begins, and once: it is kept on disk.
#pragma once
#include <functional>

#include "app/daemon.h"
#include "app/work_search.h"
#include "shell/clock.h"
#include "shell/config/descriptor_folder.h"
#include "shell/store/directory_store.h"

namespace macrovpn::app {

class OwnDescriptor {
 public:
  static constexpr Duration kSoonestBody = std::chrono::minutes(10);
  static constexpr Duration kRenewEvery = std::chrono::hours(12), kRenewSpread = std::chrono::minutes(72);
  static constexpr Duration kWorkAhead = std::chrono::hours(48);
  struct Uses {
    std::function<void(const discovery::SignedDescriptor&)> publish;
    std::function<void(const std::string&)> say;
  };
  // `store`: nullptr where the directory is files alone; then a new body waits for nothing and needs no work.  All outlive it.
  OwnDescriptor(const DaemonOptions& options, shell::DirectoryStore* store, const shell::DescriptorFolder& folder, Rng& rng, Uses uses);

  enum class Urgency : uint8_t { can_wait, at_once };
  // What it is to say from now on.
  void set(Now now, const RelayInfo& info, const RelayDetails& details, Urgency urgency);
  // What this relay measured of others: said from the next signature on.
  void set_measured(Now now, const std::optional<MeasuredRelays>& measured);
  void on_tick(Now now);
  // Signed for those who are to try something out, and published to nobody.  It takes a second of its own, as all bodies do.
  Result<discovery::SignedDescriptor> sign_trial(Now now, RelayInfo info);

 private:
  struct Wanted {
    RelayInfo info;
    RelayDetails details;
  };
  bool look_for_work(Now now);  // false: not without it
  void search(uint16_t epoch);
  void publish(Now now);
  Result<discovery::SignedDescriptor> sign_body(Wall at) const;
  Result<discovery::SignedDescriptor> sign_renewal(Wall at) const;
  bool body_changed() const;
  bool new_body_must_wait(Now now) const;
  std::vector<uint8_t> wanted_body() const;
  Duration soonest_body() const { return std::min<Duration>(kSoonestBody, measure_week_ / 14); }
  Wall last_signed() const;
  void note_signed(Wall at);

  const DaemonOptions& options_;
  shell::DirectoryStore* store_;
  const shell::DescriptorFolder& folder_;
  Rng& rng_;
  Uses uses_;
  PeerId id_;
  Duration measure_week_;
  std::optional<MeasuredRelays> measured_;
  std::optional<Wanted> wanted_;
  std::optional<discovery::SignedDescriptor> current_;
  std::optional<WorkProof> work_;
  std::optional<WorkSearch> search_;
  Wall last_signed_;
  Mono body_at_ = kLongAgo;  // when the last new body was signed, in this run
  Mono due_ = kNever;
  Mono said_work_ = kLongAgo;
  bool urgent_ = false, said_future_ = false;
};

}  // namespace macrovpn::app
