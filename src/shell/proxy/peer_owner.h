// PeerOwner: whose process is at the other end of a loopback connection?  Asks the kernel (NETLINK_SOCK_DIAG,
// sock_diag(7)) for the one socket with these two ends, and compares its user with ours.
//
// Asked once for each connection as it is accepted, and never remembered: ports are used again by anybody.
// What cannot be told is not ours.  A socket that its process has closed already belongs to nobody (kernels
// differ in what they say of it), so it is not ours either.
#pragma once
#include <sys/types.h>

#include "base/result.h"
#include "model/ip.h"
#include "shell/fd.h"

namespace macrovpn::shell {

class PeerOwner {
 public:
  // In the network and user namespace whose connections will be asked about: a netlink socket stays with
  // those that it was made in.  Fails where the kernel cannot tell, which is tried out.
  static Result<PeerOwner> open();

  // The TCP socket at `peer` that is connected to `ours`.
  bool is_ours_tcp(const Endpoint& peer, const Endpoint& ours);
  // The UDP socket that would receive what `ours` sends to `peer`.
  bool is_ours_udp(const Endpoint& peer, const Endpoint& ours);

 private:
  PeerOwner(Fd netlink, uid_t uid) : netlink_(std::move(netlink)), uid_(uid) {}
  bool is_ours(uint8_t protocol, const Endpoint& source, const Endpoint& destination);

  Fd netlink_;
  uid_t uid_;
  uint32_t sequence_ = 0;
};

}  // namespace macrovpn::shell
