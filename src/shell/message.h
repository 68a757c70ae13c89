// A msghdr for recvmsg() and sendmsg(): one part, and room for control messages (cmsg(3)).
#pragma once
#include <sys/socket.h>
#include <sys/uio.h>

#include <span>

namespace macrovpn::shell {

// Both stay the caller's; `control` is aligned as a cmsghdr.
inline msghdr message_of(iovec& part, std::span<char> control) {
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control.data();
  m.msg_controllen = control.size();
  return m;
}

}  // namespace macrovpn::shell
