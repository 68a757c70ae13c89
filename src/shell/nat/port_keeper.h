// PortKeeper: keeps a UDP port of this computer open at the home's router (core/discovery/port_mapper.h), from a reactor.
//
//   asks from       a port of its own
//   announcements   of a router that has restarted are heard on 224.0.0.1:5350, where that port can be had
//   another network the default route is looked at every kLookAgain; another router is asked anew
//   the end         stop() takes the mapping away, and waits for UPnP's helper for at most four seconds
#pragma once
#include <memory>

#include "core/discovery/port_mapper.h"
#include "shell/driver/udp_socket.h"
#include "shell/nat/default_router.h"
#include "shell/nat/upnp_job.h"
#include "shell/reactor.h"

namespace macrovpn::shell {

class PortKeeper {
 public:
  static constexpr Duration kLookAgain = 30s;
  struct Config {
    uint16_t port = 0;
    Duration check = discovery::PortMapper::kUsualCheck;
  };
  // So many questions after one another without an answer: the router is there no more, or does not speak.
  static constexpr unsigned kSilent = 2;
  // Outlive it.  on_change: the mapping is another, or there is none any more, or the router has become silent.
  PortKeeper(Reactor&, PacketPool&, Rng&, const Config&, std::function<void()> on_change);
  ~PortKeeper();
  PortKeeper(const PortKeeper&) = delete;
  PortKeeper& operator=(const PortKeeper&) = delete;

  void start();
  void stop();
  // Off: there is no router.
  discovery::PortMapping mapping() const { return mapper_ ? mapper_->mapping() : discovery::PortMapping{}; }
  bool is_silent() const { return mapping().silent >= kSilent; }
  bool has_router() const { return mapper_ != nullptr; }

 private:
  void look();
  void begin(const DefaultRouter&);
  void hear_announcements();
  void read(UdpSocket&);
  void read_announcements();
  void carry_out();
  void arm();

  Reactor& reactor_;
  PacketPool& pool_;
  Rng& rng_;
  Config config_;
  std::function<void()> on_change_;
  std::optional<UdpSocket> socket_;
  Fd announcements_;
  UpnpJob upnp_;
  std::optional<DefaultRouter> at_;
  std::unique_ptr<discovery::PortMapper> mapper_;
  std::optional<Reactor::TimerId> timer_, look_again_;
  std::pair<discovery::PortMapping::State, uint16_t> told_{};
  bool told_silent_ = false;
};

}  // namespace macrovpn::shell
