// HostHelper: a process that stays where the user's programs are while the proxy itself moves into the
// private network.  It does two things when asked: make a UDP socket on loopback, where a program's datagrams
// come in, and start the daemon.  It never talks to anybody else.
#pragma once
#include <functional>

#include "model/ip.h"
#include "shell/namespace.h"

namespace macrovpn::shell {

class HostHelper {
 public:
  // Forks.  `start_daemon` runs in the child.
  static Result<HostHelper> start(std::function<Result<void>()> start_daemon);
  // Bound to a free port of `loopback`, and to the device `lo`.  Waits for the child, which has nothing else
  // to do.
  Result<Fd> udp_socket(const IpAddress& loopback);
  Result<void> start_daemon();  // blocks until it answers

 private:
  explicit HostHelper(Helper helper) : helper_(std::move(helper)) {}
  Result<FdMessage> ask(Bytes question);
  Helper helper_;
};

}  // namespace macrovpn::shell
