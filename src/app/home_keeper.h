// HomeKeeper: of a relay at home (`macrovpn relay --at-home`): finds out by itself what NAT it is behind and how others reach it.
//
//   open, mapped   it publishes the address that others see, with the port on which it listens
//   cone, hard     it chooses up to three introducers, of different networks, keeps a session with each, and publishes them
//   and a port     that the router has opened (--open-port) and others came through (open_port.h): the address with that port, and no introducers,
//                  though it stays with them: when the port is closed it publishes them again, and nothing else changes
//
// Until that is known nothing is published.  It looks again when no introducer knows us any more for a while: the home has another address then.
// The questions go out on a thread of their own, since they wait; what others learn: shell/nat/nat_prober.h.  A relay's address is public anyway.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include <mutex>
#include <thread>

#include "app/daemon.h"
#include "app/open_port.h"
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
  struct Uses {
    std::function<void()> on_change;                     // what is to be published is another
    std::function<bool(const Endpoint&)> have_it_called;  // open_port.h
  };
  HomeKeeper(shell::Reactor& reactor, shell::Driver& driver, const DaemonOptions& options, Uses uses)
      : reactor_(reactor), driver_(driver), options_(options), on_change_(std::move(uses.on_change)), port_(std::move(uses.have_it_called)) {}
  ~HomeKeeper();
  HomeKeeper(const HomeKeeper&) = delete;
  HomeKeeper& operator=(const HomeKeeper&) = delete;

  void start() { tick(); }
  std::optional<Endpoint> endpoint() const { return open_at_ ? open_at_ : endpoint_; }
  std::vector<PeerId> introducers() const { return open_at_ ? std::vector<PeerId>() : introducers_; }
  // By which port the router says that others reach us; nothing: by none.
  void set_mapped_port(std::optional<uint16_t> port);
  void doubt_port() { port_.doubt(reactor_.now().mono); }
  void on_called(const node::OwnReach& found);
  bool is_open_at_router() const { return open_at_.has_value(); }
  nlohmann::json json() const;

 private:
  using Outcome = Result<discovery::NatReport>;
  void tick();
  void look();  // starts the thread
  void take(const discovery::NatReport& report);
  void watch();
  void look_at_port();
  bool is_behind_nat() const { return nat_ == discovery::NatClass::cone || nat_ == discovery::NatClass::hard; }

  shell::Reactor& reactor_;
  shell::Driver& driver_;
  const DaemonOptions& options_;
  std::function<void()> on_change_;
  std::optional<shell::Reactor::TimerId> next_tick_;
  std::thread asking_;
  std::mutex lock_;
  std::optional<Outcome> outcome_;  // under the lock
  Mono look_at_ = kLongAgo;
  Mono known_at_ = kLongAgo;  // when an introducer last knew us
  discovery::NatClass nat_ = discovery::NatClass::unknown;
  std::optional<IpAddress> outside_;  // as others see us
  std::optional<uint16_t> mapped_port_;
  OpenPort port_;
  std::optional<Endpoint> open_at_;  // what of it is published
  std::optional<Endpoint> endpoint_;
  std::vector<PeerId> introducers_;
};

}  // namespace macrovpn::app
