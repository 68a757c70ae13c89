#include "sim/tcp/exchange.h"

namespace macrovpn::sim {
namespace {

// The two directions have patterns of their own.
constexpr uint64_t kAnswers = 0x5bd1e9955bd1e995;

// Where [offset, offset + out) and the header at `at` overlap, the header's bytes.
template <class Target, class Source>
void copy_overlap(uint64_t target_at, Target target, uint64_t source_at, Source source) {
  const uint64_t begin = std::max(target_at, source_at), end = std::min(target_at + target.size(), source_at + source.size());
  for (uint64_t i = begin; i < end; i++) target[i - target_at] = source[i - source_at];
}

}  // namespace

// ---- client

void ExchangeClient::ask(Mono now, TcpEndpoint& tcp, uint64_t body, uint64_t answer) {
  MV_ASSERT(is_idle());
  const uint64_t before = requests_.empty() ? 0 : requests_.back().answer_end;
  requests_.push_back({tcp.sender().written(), body, answer, before + answer, now});
  tcp.write(kRequestHeader + body);
}

void ExchangeClient::fill(uint64_t offset, MutBytes out) {
  fill_pattern(key_, offset, out);
  const auto first = std::partition_point(requests_.begin(), requests_.end(), [&](const Request& r) { return r.begin + kRequestHeader <= offset; });
  for (auto r = first; r != requests_.end() && r->begin < offset + out.size(); ++r) {
    ByteArray<kRequestHeader> header;
    store_be64(header.data(), key_);
    store_be64(header.data() + 8, r->body);
    store_be64(header.data() + 16, r->answer);
    copy_overlap(offset, out, r->begin, Bytes(header));
  }
}

void ExchangeClient::show(uint64_t offset, Bytes came) {
  wrong_ += wrong_bytes(key_ ^ kAnswers, offset, came);
}

void ExchangeClient::changed(Mono now, TcpEndpoint& tcp) {
  failure_ = tcp.failure();
  if (tcp.state() == TcpState::open) opened_ = std::min(opened_, now);
  if (tcp.received() > received_) {
    received_ = tcp.received();
    last_progress_ = now;
  }
  if (tcp.acknowledged() > acknowledged_) {
    acknowledged_ = tcp.acknowledged();
    last_progress_ = now;
  }
  if (!requests_.empty()) {
    Request& r = requests_.back();
    if (r.first_byte == kNever && received_ > r.answer_end - r.answer) r.first_byte = now;
    if (r.done == kNever && received_ >= r.answer_end && acknowledged_ >= r.begin + kRequestHeader + r.body) r.done = now;
  }
  if (ends_ && is_idle()) tcp.close();
}

// ---- server

void ExchangeServer::fill(uint64_t offset, MutBytes out) {
  fill_pattern(key_ ^ kAnswers, offset, out);
}

void ExchangeServer::show(uint64_t offset, Bytes came) {
  if (!has_header_) return copy_overlap(header_at_, MutBytes(header_), offset, came);
  // A body: what came before its header was known was not looked at.
  const uint64_t body_at = header_at_ + kRequestHeader;
  if (offset < body_at) return;
  totals_->wrong += wrong_bytes(key_, offset, came.first(std::min<size_t>(came.size(), body_at + body_ - std::min(offset, body_at + body_))));
}

bool ExchangeServer::read_header(const TcpEndpoint& tcp) {
  if (has_header_) return true;
  if (tcp.received() < header_at_ + kRequestHeader) return false;
  has_header_ = true;
  key_ = load_be64(header_.data());
  body_ = load_be64(header_.data() + 8);
  answer_ = load_be64(header_.data() + 16);
  refused_ = body_ > kLargest || answer_ > kLargest;
  return true;
}

void ExchangeServer::changed(Mono, TcpEndpoint& tcp) {
  while (!refused_ && read_header(tcp) && tcp.received() >= header_at_ + kRequestHeader + body_) {
    if (refused_) break;
    totals_->requests++;
    totals_->body_bytes += body_;
    totals_->answer_bytes += answer_;
    tcp.write(answer_);
    header_at_ += kRequestHeader + body_;
    has_header_ = false;
  }
  if (refused_) totals_->refused++;
  if (refused_ || tcp.peer_ended()) tcp.close();
}

}  // namespace macrovpn::sim
