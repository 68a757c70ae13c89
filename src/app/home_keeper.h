// HomeKeeper: of a relay at home (`macrovpn relay --at-home`): finds out by itself what NAT it is behind and how others reach it.
//
//   open, mapped   it publishes the address that others see, with the port on which it listens
//   cone, hard     it chooses up to three introducers, of different networks, keeps a session with each, and publishes them
//
// Until that is known nothing is published.  It looks again when no introducer knows us any more for a while: the home has another address then.
// The questions go out on a thread of their own, since they wait; what others learn: shell/nat/nat_prober.h.  A relay's address is public anyway.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include <mutex>
#include <thread>

#include "app/daemon.h"
#include "shell/driver/driver.h"
#include "shell/nat/nat_prober.h"
#include "shell/reactor.h"

namespace macrovpn::app {

// Up to three relays that introduce others, no two of them, or one and us, in one network.
std::vector<PeerId> choose_introducers(const discovery::Directory& directory, const Network& network, const IpAddress& ours, Wall now, Rng& rng);

// What a relay behind such a NAT could be in a guess (core/discovery/port_guess.h), with as many sockets as this process may open.
inline constexpr size_t kDescriptorsForOthers = 256;
node::GuessPart guess_part(discovery::NatClass nat);

class HomeKeeper {
 public:
  static constexpr Duration kTick = std::chrono::milliseconds(250), kProbeAgain = 30s, kPatience = 60s;
  // on_change: what is to be published is another.
  HomeKeeper(shell::Reactor& reactor, shell::Driver& driver, const DaemonOptions& options, std::function<void()> on_change)
      : reactor_(reactor), driver_(driver), options_(options), on_change_(std::move(on_change)) {}
  ~HomeKeeper();
  HomeKeeper(const HomeKeeper&) = delete;
  HomeKeeper& operator=(const HomeKeeper&) = delete;

  void start() { tick(); }
  const std::optional<Endpoint>& endpoint() const { return endpoint_; }
  const std::vector<PeerId>& introducers() const { return introducers_; }
  nlohmann::json json() const;

 private:
  using Outcome = Result<discovery::NatReport>;
  void tick();
  void look();  // starts the thread
  void take(const discovery::NatReport& report);
  void watch();
  bool is_behind_nat() const { return nat_ == discovery::NatClass::cone || nat_ == discovery::NatClass::hard; }

  shell::Reactor& reactor_;
  shell::Driver& driver_;
  const DaemonOptions& options_;
  std::function<void()> on_change_;
  std::thread asking_;
  std::mutex lock_;
  std::optional<Outcome> outcome_;  // under the lock
  Mono look_at_ = kLongAgo;
  Mono known_at_ = kLongAgo;  // when an introducer last knew us
  discovery::NatClass nat_ = discovery::NatClass::unknown;
  std::optional<Endpoint> endpoint_;
  std::vector<PeerId> introducers_;
};

}  // namespace macrovpn::app
