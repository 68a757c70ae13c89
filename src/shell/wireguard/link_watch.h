// LinkWatch: whether a TUN device is up, and its MTU, as they change.
//
// A device may be moved to another network namespace, which is how a container gets no way out but the
// tunnel.  So we ask the descriptor where its device is, and listen (rtnetlink) and ask (ioctl) there.  Where
// we may not go there, the device is taken to be up with the MTU that it had.
#pragma once
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "base/packet.h"
#include "base/result.h"
#include "core/encryption/messages.h"
#include "shell/fd.h"
#include "shell/reactor.h"
#include "shell/wireguard/log.h"

namespace macrovpn::shell {

inline constexpr unsigned kDefaultMtu = 1420;
// A packet of that size, sealed, fits a buffer of a peer that is one of ours.  A larger MTU is put back to
// it, so that nobody sends what would be lost.
inline constexpr uint16_t kLargestMtu = kPacketMax - encryption::kTransportOverhead;
static_assert(kLargestMtu % 16 == 0);

struct Link {
  bool up = false;
  unsigned mtu = kDefaultMtu;
  bool operator==(const Link&) const = default;
};

class LinkWatch {
 public:
  using Told = std::function<void(const Link&)>;
  // tun: the descriptor of a TUN device; it, the log and the reactor outlive this.  `told` is called for each
  // change, at once for the first; a device is taken to be down with the default MTU before.  By the main thread, whose network
  // namespace changes for moments within a call; other threads keep theirs, as setns(2) is for one.
  static Result<std::unique_ptr<LinkWatch>> open(Reactor&, int tun, const DeviceLog&, Told told);
  ~LinkWatch();
  LinkWatch(const LinkWatch&) = delete;
  LinkWatch& operator=(const LinkWatch&) = delete;

 private:
  LinkWatch(Reactor& reactor, int tun, const DeviceLog& log, Fd home, Told told)
      : reactor_(reactor), log_(log), tun_(tun), home_(std::move(home)), told_(std::move(told)) {}
  Result<void> follow();
  Result<void> listen_here();
  void look();
  Link link() const;
  void put_back(Link&);

  Reactor& reactor_;
  const DeviceLog& log_;
  int tun_;
  Fd home_;                // our own network namespace
  Fd events_, questions_;  // sockets in the device's
  ino_t where_ = 0;        // which that is
  bool reachable_ = true;
  Told told_;
  Link link_;
};

// The name that the kernel knows a TUN device by now; empty if there is none any more.
std::string name_of_tun(int tun);
// By ioctl, for a device in our own namespace.
Result<void> set_mtu(const std::string& name, unsigned mtu);
// Lets what this host's own programs send come in superpackets that are one train of datagrams each (offload/train.h), if the
// kernel knows how; false: it does not, or the host forwards.  Longer ones of others, which a forwarding host would pass on
// to the device, the kernel would cut packet by packet for it, which costs far more than this gains.
bool shorten_bursts(const std::string& name);

}  // namespace macrovpn::shell
