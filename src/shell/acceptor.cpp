#include "shell/acceptor.h"

#include <sys/socket.h>

#include <cerrno>

namespace macrovpn::shell {
namespace {

constexpr unsigned kAcceptsPerTurn = 64;

}  // namespace

Acceptor::~Acceptor() {
  for (const auto& [fd, timer] : listeners_) {
    if (timer) reactor_.cancel(*timer);
    reactor_.remove(fd);
  }
}

void Acceptor::add(int listener) {
  listeners_.emplace(listener, std::nullopt);
  reactor_.add(listener, EPOLLIN, [this, listener](uint32_t) { take_from(listener); });
}

void Acceptor::take_from(int listener) {
  for (unsigned i = 0; i < kAcceptsPerTurn; i++) {
    Fd s(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (s) {
      on_connection_(std::move(s));
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      return pause(listener);
    } else if (errno != ECONNABORTED && errno != EINTR) {
      return;
    }
  }
}

void Acceptor::pause(int listener) {
  on_full_();
  reactor_.modify(listener, 0);
  listeners_[listener] = reactor_.after(1s, [this, listener] {
    listeners_[listener].reset();
    reactor_.modify(listener, EPOLLIN);
  });
}

}  // namespace macrovpn::shell
