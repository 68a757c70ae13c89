#include "shell/https/client.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "shell/exit/socket_address.h"
#include "shell/websocket/admission.h"

namespace macrovpn::shell::https {

using Outcome = tls::Stream::Outcome;
using websocket::Head;

Client::Client(Reactor& reactor, PacketPool& pool, Rng& rng, const tls::Context& context, const NetworkId& network, Address address,
               uint32_t mark, Events events)
    : reactor_(reactor),
      pool_(pool),
      rng_(rng),
      context_(context),
      network_(network),
      address_(std::move(address)),
      mark_(mark),
      events_(std::move(events)) {}

Client::~Client() {
  if (timer_) reactor_.cancel(*timer_);
  if (fd_ >= 0) reactor_.remove(fd_);
  if (link_) link_->close();
}

Result<void> Client::start() {
  Fd s = open_socket(family_of(address_.endpoint.address), SOCK_STREAM);
  if (!s) return fail(std::string("cannot open a TCP socket: ") + std::strerror(errno));
  prepare_socket(s.get());
  // Before the first packet: the kill switch and the routes of `macrovpn up` know us by it.
  if (mark_ != 0) set_option(s.get(), SOL_SOCKET, SO_MARK, static_cast<int>(mark_));
  const SocketAddress to(address_.endpoint);
  if (connect(s.get(), to.data(), to.size) != 0 && errno != EINPROGRESS)
    return fail(std::string("cannot connect: ") + std::strerror(errno));
  TRY(stream_, tls::Stream::connect(context_, std::move(s), address_.name));
  fd_ = stream_->fd();
  wanted_ = watched_ = EPOLLOUT;
  reactor_.add(fd_, EPOLLOUT, [this](uint32_t events) {
    if (const auto why = advance(events)) return finish(*why);
    watch();
  });
  timer_ = reactor_.after(kConnectTime, [this] {
    timer_.reset();
    finish(Why::unreachable);
  });
  return {};
}

// Nothing of this is touched after.
void Client::finish(Why why) {
  const auto over = events_.over;
  reactor_.remove(std::exchange(fd_, -1));
  over(why);
}

void Client::watch() {
  if (link_) wanted_ = link_->wants_write() ? EPOLLIN | EPOLLOUT : EPOLLIN;
  if (fd_ < 0 || wanted_ == watched_) return;
  watched_ = wanted_;
  reactor_.modify(fd_, wanted_);
}

// Why it is over, if it is.
std::optional<Client::Why> Client::advance(uint32_t events) {
  if (phase_ == Phase::connect) {
    if (pending_error(fd_) != 0) return Why::unreachable;
    phase_ = Phase::handshake;
  }
  if (phase_ == Phase::handshake) {
    const auto why = shake_hands();
    if (why || phase_ == Phase::handshake) return why;
  }
  if (phase_ == Phase::answer) return read_answer();
  return serve(events);
}

std::optional<Client::Why> Client::shake_hands() {
  const Outcome o = stream_->shake_hands();
  wanted_ = o == Outcome::wants_write ? EPOLLOUT : EPOLLIN;
  if (o == Outcome::ended) return Why::unreachable;
  if (o != Outcome::done) return std::nullopt;
  if (stream_->peer_pin() != address_.pin) return Why::wrong_certificate;
  key_ = websocket::admission(network_, address_.relay, stream_->exporter(websocket::kExporterLabel));
  const std::string request = websocket::write_request(address_.name, key_);
  size_t n = 0;
  // The first bytes that we say: the socket has room for them.
  if (stream_->write(as_bytes(request), n) != Outcome::done || n != request.size()) return Why::unreachable;
  phase_ = Phase::answer;
  return std::nullopt;
}

std::optional<Client::Why> Client::read_answer() {
  ByteArray<4096> buffer;
  Head head;
  while (head.parse == Head::Parse::more) {
    size_t n = 0;
    const Outcome o = stream_->read(buffer, n);
    if (o == Outcome::ended) return Why::not_admitted;
    if (o != Outcome::done) return std::nullopt;
    heard_.insert(heard_.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(n));
    head = websocket::read_head(heard_);
  }
  if (!websocket::is_answer(head, key_)) return Why::not_admitted;
  link_.emplace(websocket::Role::client, std::move(*stream_), pool_, rng_);
  phase_ = Phase::link;
  reactor_.cancel(*timer_);
  timer_.reset();
  got_.clear();
  const bool open = link_->take_early(Bytes(heard_).subspan(head.used), got_) == Link::State::open;
  heard_ = {};
  events_.ready();
  if (!open) return Why::ended;
  return serve(EPOLLIN);
}

std::optional<Client::Why> Client::serve(uint32_t events) {
  bool open = true;
  if ((events & EPOLLOUT) != 0) open = link_->on_writable() == Link::State::open;
  if (open && (events & ~uint32_t{EPOLLOUT}) != 0) open = link_->read(got_) == Link::State::open;
  if (!got_.empty()) events_.datagrams(got_);
  got_.clear();
  return open ? std::nullopt : std::optional(Why::ended);
}

void Client::send(Packet&& datagram) {
  link_->queue(std::move(datagram));
}

// Its end is left to the next event of the socket.
void Client::flush() {
  static_cast<void>(link_->send());
  watch();
}

}  // namespace macrovpn::shell::https
