// Acceptor: takes the connections that come to listening sockets, 64 a turn so that none of the other work waits.
//
// Out of descriptors or memory it leaves a listener alone for a second: that stays readable, and would spin.
#pragma once
#include <functional>
#include <map>
#include <optional>

#include "shell/fd.h"
#include "shell/reactor.h"

namespace macrovpn::shell {

class Acceptor {
 public:
  // on_connection: non-blocking, close-on-exec; on_full: a connection has to wait.
  Acceptor(Reactor& reactor, std::function<void(Fd)> on_connection, std::function<void()> on_full)
      : reactor_(reactor), on_connection_(std::move(on_connection)), on_full_(std::move(on_full)) {}
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  // A non-blocking socket that listens; it is the caller's and outlives this.
  void add(int listener);

 private:
  void take_from(int listener);
  void pause(int listener);

  Reactor& reactor_;
  std::function<void(Fd)> on_connection_;
  std::function<void()> on_full_;
  std::map<int, std::optional<Reactor::TimerId>> listeners_;  // with when it is looked at again, if it is left alone
};

}  // namespace macrovpn::shell
