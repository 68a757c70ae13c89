// One side of a control connection: lines and descriptors in, lines out.  Knows no JSON.
#pragma once
#include <sys/types.h>

#include <deque>
#include <optional>
#include <string>

#include "base/result.h"
#include "shell/control/protocol.h"
#include "shell/fd.h"

namespace macrovpn::shell::control {

// The user at the other end of a Unix socket, as it was when that was made or connected.
std::optional<uid_t> peer_uid_of(const Fd& socket);

class Connection {
 public:
  explicit Connection(Fd fd) : fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }
  std::optional<uid_t> peer_uid() const { return peer_uid_of(fd_); }
  std::optional<pid_t> peer_pid() const;  // 0: of another PID namespace

  enum class Status : uint8_t { open, nothing, closed, abused };
  // Reads once what is there.  nothing: would block (or its SO_RCVTIMEO ran out).  abused: a line or a number
  // of descriptors beyond the bounds.
  Status receive();
  std::optional<std::string> next_line();
  Fd take_fd();  // the oldest descriptor that came; empty if none

  // Appends a line; flush() sends.  False: more waits than kMaxUnsent.
  bool queue(std::string_view line);
  Status flush();
  bool has_unsent() const { return !out_.empty(); }
  // Sends a whole line, with a descriptor if fd >= 0; for blocking sockets.
  Result<void> send_line(std::string_view line, int fd);

 private:
  Fd fd_;
  std::string in_, out_;
  std::deque<Fd> fds_;
};

}  // namespace macrovpn::shell::control
