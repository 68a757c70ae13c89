#include "shell/proxy/name_lookup.h"

#include <sys/socket.h>

#include <cerrno>

#include "core/routing/dns_stream.h"
#include "shell/exit/socket_address.h"

namespace macrovpn::shell {
namespace {

constexpr Duration kRetryAfter[] = {1s, 2s, 4s};

}  // namespace

NameLookup::NameLookup(const Outbound& outbound, GroupSlot slot, const routing::DnsName& name,
                       IpFamily family, OnEnd on_end)
    : outbound_(outbound), slot_(slot), on_end_(std::move(on_end)) {
  question_ = {name, family, static_cast<uint16_t>(outbound.rng.u32())};
  deadline_ = outbound_.reactor.after(kNameTimeout, [this] {
    deadline_.reset();
    end({false, Outcome::timed_out, {}});
  });
  // Not from here: who asked does not hold us yet.
  retry_ = outbound_.reactor.after(Duration::zero(), [this] {
    retry_.reset();
    ask_by_udp();
  });
}

NameLookup::~NameLookup() {
  if (socket_) outbound_.reactor.remove(socket_.get());
  for (const auto& timer : {retry_, deadline_})
    if (timer) outbound_.reactor.cancel(*timer);
}

bool NameLookup::open(int type, uint32_t events) {
  if (socket_) outbound_.reactor.remove(socket_.get());
  socket_ = open_outbound(outbound_, slot_, outbound_.resolver.address.family(), type);
  const SocketAddress to(outbound_.resolver);
  if (!socket_ || (connect(socket_.get(), to.data(), to.size) != 0 && errno != EINPROGRESS)) {
    socket_.reset();
    return false;
  }
  outbound_.reactor.add(socket_.get(), events, [this](uint32_t e) { by_tcp_ ? on_tcp(e) : on_udp(); });
  return true;
}

void NameLookup::ask_by_udp() {
  if (!socket_ && !open(SOCK_DGRAM, EPOLLIN)) return end({false, Outcome::name_failed, {}});
  const auto message = encode_question(question_);
  // What cannot be sent now is sent again.
  static_cast<void>(send(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL));
  if (asked_ >= std::size(kRetryAfter)) return;
  retry_ = outbound_.reactor.after(kRetryAfter[asked_++], [this] {
    retry_.reset();
    ask_by_udp();
  });
}

void NameLookup::on_udp() {
  uint8_t buffer[4096];
  const ssize_t n = recv(socket_.get(), buffer, sizeof buffer, 0);
  if (n < 0) return;  // an ICMP error, or nothing: there are retries and a deadline
  auto answer = read_answer({buffer, static_cast<size_t>(n)}, question_);
  if (!answer) return;
  if (!answer->truncated) return end(std::move(*answer));
  if (retry_) outbound_.reactor.cancel(*retry_);
  retry_.reset();
  by_tcp_ = true;
  unsent_ = routing::frame_dns(encode_question(question_));
  if (!open(SOCK_STREAM, EPOLLIN | EPOLLOUT)) end({false, Outcome::name_failed, {}});
}

void NameLookup::on_tcp(uint32_t events) {
  while (!unsent_.empty() && (events & (EPOLLERR | EPOLLHUP)) == 0) {
    const ssize_t n = send(socket_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) return end({false, Outcome::name_failed, {}});
    unsent_.erase(unsent_.begin(), unsent_.begin() + n);
    if (unsent_.empty()) outbound_.reactor.modify(socket_.get(), EPOLLIN);
  }
  uint8_t buffer[4096];
  const ssize_t n = recv(socket_.get(), buffer, sizeof buffer, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return end({false, Outcome::name_failed, {}});
  received_.insert(received_.end(), buffer, buffer + n);
  take_tcp_answer();
}

void NameLookup::take_tcp_answer() {
  const auto message = routing::first_framed_dns(received_);
  if (!message) return;
  auto answer = read_answer(*message, question_);
  end(answer ? std::move(*answer) : NameAnswer{false, Outcome::name_failed, {}});
}

void NameLookup::end(NameAnswer answer) {
  const OnEnd f = std::move(on_end_);
  f(std::move(answer));
}

}  // namespace macrovpn::shell
