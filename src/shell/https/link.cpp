#include "shell/https/link.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "shell/exit/socket_address.h"

namespace macrovpn::shell::https {

using websocket::Kind;
using websocket::Role;
using Outcome = tls::Stream::Outcome;

namespace {

constexpr int kNotSent = 16 * 1024;
constexpr int kUserTimeoutMs = 20'000;  // of data that nobody acknowledges

}  // namespace

void prepare_socket(int fd) {
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, kNotSent);
  set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, kUserTimeoutMs);
}

Link::Link(Role ours, tls::Stream stream, PacketPool& pool, Rng& rng)
    : ours_(ours),
      stream_(std::move(stream)),
      pool_(pool),
      rng_(rng),
      reader_(ours == Role::client ? Role::server : Role::client, pool) {}

Link::State Link::on_message(websocket::Message& m, std::vector<Packet>& datagrams) {
  switch (m.kind) {
    case Kind::datagram:
      if (m.payload.size() != 0) datagrams.push_back(std::move(m.payload));
      return State::open;
    case Kind::ping:
      if (controls_.size() == kMostControls) return State::open;  // §5.5.3: the newest may answer for all
      websocket::write_frame(ours_, Kind::pong, m.payload.bytes(), rng_, controls_.emplace_back());
      return State::open;
    case Kind::pong:
      return State::open;
    case Kind::close:
      return State::ended;
  }
  return State::ended;
}

Link::State Link::take_early(Bytes bytes, std::vector<Packet>& datagrams) {
  messages_.clear();
  if (reader_.read(bytes, messages_)) return State::ended;
  for (websocket::Message& m : messages_) {
    if (on_message(m, datagrams) == State::ended) return State::ended;
  }
  return State::open;
}

// A record a call, all of it, so that OpenSSL keeps nothing back that no poll would tell of.
Link::State Link::read(std::vector<Packet>& datagrams) {
  thread_local ByteArray<kRecord> buffer;
  for (int i = 0; i < kRecordsPerTurn; i++) {
    size_t n = 0;
    const Outcome o = stream_.read(buffer, n);
    if (o == Outcome::ended) return State::ended;
    if (o != Outcome::done) break;
    if (take_early(Bytes(buffer).first(n), datagrams) == State::ended) return State::ended;
  }
  return controls_.empty() ? State::open : send();
}

void Link::queue(Packet&& datagram) {
  queued_bytes_ += datagram.size();
  queue_.push_back(std::move(datagram));
  while (queued_bytes_ > kMostQueued) {
    queued_bytes_ -= queue_.front().size();
    queue_.pop_front();
    lost_++;
  }
}

// Frames for one record; false: there is nothing.
bool Link::fill() {
  out_.clear();
  written_ = 0;
  for (const auto& frame : controls_) out_.insert(out_.end(), frame.begin(), frame.end());
  controls_.clear();
  while (!queue_.empty() && (out_.empty() || out_.size() + queue_.front().size() + websocket::kMostFrameHeader <= kRecord)) {
    websocket::write_frame(ours_, Kind::datagram, std::as_const(queue_.front()).bytes(), rng_, out_);
    queued_bytes_ -= queue_.front().size();
    queue_.pop_front();
  }
  return !out_.empty();
}

Link::State Link::send() {
  return waits_ ? State::open : on_writable();
}

// One record, then the kernel is asked whether it wants more: it takes more than kNotSent without being asked.
Link::State Link::on_writable() {
  waits_ = false;
  if (written_ == out_.size() && !fill()) return State::open;
  while (written_ < out_.size()) {
    size_t n = 0;
    const Outcome o = stream_.write(Bytes(out_).subspan(written_), n);
    if (o == Outcome::ended) return State::ended;
    if (o != Outcome::done) {
      waits_ = true;
      return State::open;
    }
    written_ += n;
  }
  waits_ = !queue_.empty() || !controls_.empty();
  return State::open;
}

}  // namespace macrovpn::shell::https
