#include "shell/fd_passing.h"

#include <sys/socket.h>

#include <cerrno>

#include "shell/message.h"

namespace macrovpn::shell {

Result<SocketPair> make_fd_channel() {
  int s[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) != 0)
    return fail("cannot make a socket pair: the system is out of descriptors");
  return SocketPair{Fd(s[0]), Fd(s[1])};
}

Result<void> send_fds(int socket, Bytes body, std::span<const int> fds) {
  MV_ASSERT(!body.empty() && body.size() <= kMaxPassedBody && fds.size() <= kMaxPassedFds);
  iovec io{const_cast<uint8_t*>(body.data()), body.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxPassedFds * sizeof(int))]{};
  msghdr m{};
  m.msg_iov = &io;
  m.msg_iovlen = 1;
  if (!fds.empty()) {
    m.msg_control = control;
    m.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(h), fds.data(), fds.size_bytes());
  }
  ssize_t n;
  do n = sendmsg(socket, &m, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0) return fail("cannot pass a descriptor to another process: that process is gone");
  return {};
}

Result<FdMessage> recv_fds(int socket) {
  FdMessage out;
  out.body.resize(kMaxPassedBody);
  iovec io{out.body.data(), out.body.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxPassedFds * sizeof(int))]{};
  msghdr m = message_of(io, control);
  ssize_t n;
  do n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return FdMessage{};
  if (n < 0) return fail("the other process closed the channel");
  // Before anything is judged: what is not owned stays open for ever.
  for (cmsghdr* h = CMSG_FIRSTHDR(&m); h != nullptr; h = CMSG_NXTHDR(&m, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
      out.fds.emplace_back(fd);
    }
  }
  if (n == 0) return fail("the other process closed the channel");  // or sent nothing, perhaps with descriptors
  if ((m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
    return fail("a message between two processes of ours was cut short");
  out.body.resize(static_cast<size_t>(n));
  return out;
}

Result<void> send_fd(int socket, int fd) {
  const uint8_t body = 0;
  return send_fds(socket, {&body, 1}, {&fd, 1});
}

Result<Fd> recv_fd(int socket) {
  TRY(FdMessage m, recv_fds(socket));
  if (m.fds.size() != 1) return fail("the other process sent no descriptor");
  return std::move(m.fds[0]);
}

}  // namespace macrovpn::shell
