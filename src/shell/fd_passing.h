// Descriptors sent from one process to another over a Unix socket (SCM_RIGHTS, unix(7)), each with a small
// body. The sockets are SOCK_SEQPACKET, so that a message and its descriptors stay together.
#pragma once
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "shell/fd.h"

namespace macrovpn::shell {

inline constexpr size_t kMaxPassedFds = 16;    // per message
inline constexpr size_t kMaxPassedBody = 512;  // bytes per message

struct SocketPair {
  Fd a, b;
};
Result<SocketPair> make_fd_channel();  // blocking, close-on-exec

struct FdMessage {
  std::vector<uint8_t> body;
  std::vector<Fd> fds;
};

// The receiver gets duplicates; `fds` stay the caller's.  `body` must not be empty.
Result<void> send_fds(int socket, Bytes body, std::span<const int> fds);
// Fails at end of stream.  The descriptors are close-on-exec.  On a non-blocking socket an empty body means
// "nothing there yet".
Result<FdMessage> recv_fds(int socket);

// One descriptor and nothing to say about it.
Result<void> send_fd(int socket, int fd);
Result<Fd> recv_fd(int socket);

}  // namespace macrovpn::shell
