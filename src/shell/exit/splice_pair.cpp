#include "shell/exit/splice_pair.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>

#include "shell/exit/socket_address.h"

namespace macrovpn::shell {
namespace {

constexpr unsigned kStepsPerTurn = 32;  // then the other flows have theirs
constexpr size_t kMost = 256 << 10;

}  // namespace

SplicePair::SplicePair(Reactor& reactor, PipePool& pipes, Fd a, Fd b, OnEnd on_end, Start start)
    : reactor_(reactor), pipes_(pipes), last_moved_(reactor.now().mono), on_end_(std::move(on_end)) {
  sockets_[0].fd = std::move(a);
  sockets_[1].fd = std::move(b);
  for (size_t i = 0; i < 2; i++) {
    halves_[i].from = i;
    halves_[i].to = 1 - i;
  }
  halves_[0].held = start.ahead.size();
  halves_[0].spill = std::move(start.ahead);
  halves_[0].left = start.most;
  watch(0);
  watch(1);
}

SplicePair::~SplicePair() {
  for (Socket& s : sockets_)
    if (s.watched) reactor_.remove(s.fd.get());
  for (Half& h : halves_) {
    if (!h.pipe) continue;
    if (h.held == 0)
      pipes_.give_back(std::move(*h.pipe));
    else
      pipes_.lost();
  }
}

void SplicePair::reset_both() {
  for (Socket& s : sockets_) {
    if (s.watched) reactor_.remove(s.fd.get());
    s.watched = false;
    close_with_reset(s.fd);
  }
}

void SplicePair::watch(size_t i) {
  Socket& s = sockets_[i];
  const Half &reads = halves_[i], &writes = halves_[1 - i];
  const uint32_t wanted =
      (!reads.eof && reads.held == 0 ? uint32_t{EPOLLIN} : 0) | (writes.held > 0 ? uint32_t{EPOLLOUT} : 0);
  // Done with both ways, it would report HUP for ever.
  const bool needed = !reads.eof || !writes.shut;
  if (needed && !s.watched) {
    reactor_.add(s.fd.get(), wanted, [this, i](uint32_t events) { on_event(i, events); });
  } else if (!needed && s.watched) {
    reactor_.remove(s.fd.get());
  } else if (needed && wanted != s.wanted) {
    reactor_.modify(s.fd.get(), wanted);
  }
  s.watched = needed;
  s.wanted = wanted;
}

void SplicePair::on_event(size_t socket, uint32_t events) {
  if ((events & EPOLLERR) != 0 && pending_error(sockets_[socket].fd.get()) != 0) return end(End::broken);
  for (Half& h : halves_)
    if (!pump(h)) return end(End::broken);
  if (halves_[0].shut && halves_[1].shut) return end(End::finished);
  // HUP with nothing left to read or write: the peer's reset was taken by an earlier call.
  watch(0);
  watch(1);
}

bool SplicePair::pump(Half& h) {
  for (unsigned i = 0; i < kStepsPerTurn; i++) {
    if (h.held == 0 && h.eof) break;
    const Step step = h.held == 0 ? fill(h) : drain(h);
    if (step == Step::broken) return false;
    if (step == Step::wait) break;
    last_moved_ = reactor_.now().mono;
  }
  if (h.held != 0) return true;
  if (h.pipe) {
    pipes_.give_back(std::move(*h.pipe));
    h.pipe.reset();
  }
  h.spill = {};
  if (h.eof && !h.shut) {
    shutdown(sockets_[h.to].fd.get(), SHUT_WR);
    h.shut = true;
  }
  return true;
}

SplicePair::Step SplicePair::fill(Half& h) {
  const int from = sockets_[h.from].fd.get();
  if (h.left == 0u) return expect_end(h);
  if (!h.pipe) h.pipe = pipes_.borrow();
  const size_t most = static_cast<size_t>(std::min<uint64_t>(kMost, h.left.value_or(kMost)));
  ssize_t n;
  if (h.pipe) {
    n = splice(from, nullptr, h.pipe->in.get(), nullptr, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  } else {
    h.spill.resize(std::min(kSpill, most));
    n = recv(from, h.spill.data(), h.spill.size(), 0);
    h.spill.resize(n > 0 ? static_cast<size_t>(n) : 0);
  }
  if (n < 0) return errno == EAGAIN || errno == EINTR ? Step::wait : Step::broken;
  if (n == 0) h.eof = true;
  h.held = static_cast<size_t>(n);
  if (h.left) *h.left -= h.held;
  return Step::moved;
}

// All that was announced has come.
SplicePair::Step SplicePair::expect_end(Half& h) {
  uint8_t byte;
  const ssize_t n = recv(sockets_[h.from].fd.get(), &byte, 1, MSG_PEEK);
  if (n > 0) return Step::broken;
  if (n < 0) return errno == EAGAIN || errno == EINTR ? Step::wait : Step::broken;
  h.eof = true;
  return Step::moved;
}

SplicePair::Step SplicePair::drain(Half& h) {
  const int to = sockets_[h.to].fd.get();
  ssize_t n;
  if (h.pipe) {
    n = splice(h.pipe->out.get(), nullptr, to, nullptr, h.held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  } else {
    n = send(to, h.spill.data() + (h.spill.size() - h.held), h.held, MSG_NOSIGNAL);
  }
  if (n < 0) return errno == EAGAIN || errno == EINTR ? Step::wait : Step::broken;
  h.held -= static_cast<size_t>(n);
  return Step::moved;
}

void SplicePair::end(End how) {
  if (how == End::broken) reset_both();
  const OnEnd f = std::move(on_end_);
  f(how);
}

}  // namespace macrovpn::shell
