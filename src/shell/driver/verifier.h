// Verifier: the checks of the live directory (core/discovery/exchange.h), on a thread of its own: a signature is 80 µs, proof of work
// 19 ms, and a newcomer has thousands of both.  It starts with the first check and runs when nothing else wants to.
#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "core/discovery/exchange.h"
#include "shell/bell.h"

namespace macrovpn::shell {

class Verifier {
 public:
  using Verdict = Result<discovery::EntryPtr, discovery::CheckFailure>;
  // on_verdict: on the reactor's thread, in the order of asking.
  Verifier(Reactor& reactor, const Network& network, discovery::CheckDepth depth, std::function<void(uint64_t check, const Verdict&)> on_verdict);
  ~Verifier();
  Verifier(const Verifier&) = delete;
  Verifier& operator=(const Verifier&) = delete;

  void ask(std::vector<discovery::SyncCheck> checks);

 private:
  void run();
  void tell();

  Reactor& reactor_;
  const Network network_;
  const discovery::CheckDepth depth_;
  std::function<void(uint64_t, const Verdict&)> on_verdict_;
  Bell bell_;
  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<discovery::SyncCheck> waiting_;
  std::vector<std::pair<uint64_t, Verdict>> done_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace macrovpn::shell
