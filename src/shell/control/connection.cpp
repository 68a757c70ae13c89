#include "shell/control/connection.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "shell/message.h"

#ifndef MACROVPN_RELEASE
#error "the build gives the release"
#endif

namespace macrovpn::shell::control {

namespace {

// Takes ownership of all that came, then judges: what is not kept is closed with the connection.
bool keep_fds(msghdr& m, std::deque<Fd>& fds) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return (m.msg_flags & MSG_CTRUNC) == 0 && fds.size() <= kMaxPendingFds;
}

std::optional<ucred> peer_of(int socket) {
  ucred c{};
  socklen_t size = sizeof c;
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &c, &size) == 0 ? std::optional(c) : std::nullopt;
}

}  // namespace

std::string release() {
  return MACROVPN_RELEASE;
}

std::optional<uid_t> peer_uid_of(const Fd& socket) {
  const auto c = peer_of(socket.get());
  return c ? std::optional(c->uid) : std::nullopt;
}

std::optional<pid_t> Connection::peer_pid() const {
  const auto c = peer_of(fd_.get());
  return c ? std::optional(c->pid) : std::nullopt;
}

Connection::Status Connection::receive() {
  char buffer[16 * 1024];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * (kMaxPendingFds + 1))];
  iovec io{buffer, sizeof buffer};
  msghdr m = message_of(io, control);
  const ssize_t n = recvmsg(fd_.get(), &m, MSG_CMSG_CLOEXEC);
  if (n < 0) return errno == EAGAIN || errno == EINTR ? Status::nothing : Status::closed;
  if (!keep_fds(m, fds_)) return Status::abused;
  if (n == 0) return Status::closed;
  const size_t searched = in_.size();
  in_.append(buffer, static_cast<size_t>(n));
  // Only the unfinished end of in_ can be a line that is too long: whole ones are taken between two receives.
  if (in_.size() > kMaxLine && in_.find('\n', searched) == std::string::npos) return Status::abused;
  return Status::open;
}

std::optional<std::string> Connection::next_line() {
  const size_t end = in_.find('\n');
  if (end == std::string::npos) return std::nullopt;
  std::string line = in_.substr(0, end);
  in_.erase(0, end + 1);
  return line;
}

Fd Connection::take_fd() {
  if (fds_.empty()) return {};
  Fd fd = std::move(fds_.front());
  fds_.pop_front();
  return fd;
}

bool Connection::queue(std::string_view line) {
  if (out_.size() + line.size() + 1 > kMaxUnsent) return false;
  out_.append(line).push_back('\n');
  return true;
}

Connection::Status Connection::flush() {
  while (!out_.empty()) {
    const ssize_t n = send(fd_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN ? Status::nothing : Status::closed;
    out_.erase(0, static_cast<size_t>(n));
  }
  return Status::open;
}

Result<void> Connection::send_line(std::string_view line, int fd) {
  const Failure<Error> gone = fail("the macrovpn daemon has gone; start it again with `macrovpn daemon`");
  std::string text(line);
  text += '\n';
  if (fd >= 0) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
    iovec io{text.data(), 1};
    msghdr m = message_of(io, control);
    cmsghdr* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
    if (sendmsg(fd_.get(), &m, MSG_NOSIGNAL) != 1) return gone;
    text.erase(0, 1);
  }
  out_ += text;
  if (flush() != Status::open) return gone;
  return {};
}

}  // namespace macrovpn::shell::control
