// HostHelper: a process that stays where the user's programs are while the proxy itself moves into the
// private network.  It does three things when asked: make a UDP socket on loopback, where a program's datagrams
// come in, start the daemon, and connect to it: its door while the computer is up is found in the programs' network
// alone, and who owns it is seen by its true number only outside of the proxy's user namespace.  It sends no byte to
// anybody else.
//
//   question   number (4, big-endian) | kind | address
//   answer     number (4, big-endian) | 0 done, else why not (1 + NoDaemon::Why) | sentence     with a descriptor
//
// An answer that comes after patience ran out has another number than the next question, and is passed over.
#pragma once
#include <functional>

#include "model/ip.h"
#include "shell/control/client.h"
#include "shell/namespace.h"

namespace macrovpn::shell {

class HostHelper {
 public:
  struct Services {  // these run in the child
    std::function<Result<void>()> start_daemon;
    std::function<Result<Fd, control::NoDaemon>()> dial_daemon;  // see control::Client::dial()
  };
  static constexpr Duration kPatience = 1min;  // a daemon takes 5 s to start, or says why not
  // Forks.
  static Result<HostHelper> start(Services services, Duration patience = kPatience);
  void be_patient(Duration patience) { patience_ = patience; }
  // Each waits for the child, which has nothing else to do.
  // Bound to a free port of `loopback`, and to the device `lo`.
  Result<Fd> udp_socket(const IpAddress& loopback);
  Result<void> start_daemon();
  Result<Fd, control::NoDaemon> dial_daemon();

 private:
  HostHelper(Helper helper, Duration patience) : helper_(std::move(helper)), patience_(patience) {}
  Result<FdMessage, control::NoDaemon> ask(uint8_t kind, Bytes rest = {});
  Result<FdMessage> await(uint32_t number);
  Helper helper_;
  Duration patience_;
  uint32_t asked_ = 0;
};

}  // namespace macrovpn::shell
