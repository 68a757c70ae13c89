#include "sim/scenario/talk.h"

#include "core/routing/address_rewrite.h"
#include "core/routing/ip_reply.h"

namespace macrovpn::sim {
namespace {

// A request: number 8, bytes wanted 4, first piece 4, random 16.  An answer: number 8, piece 4, pieces 4, filler.
constexpr uint16_t kPort = 7000;
constexpr size_t kPiece = 1100;
constexpr size_t kUdp = 8, kRequest = 32, kAnswer = 16;
constexpr Duration kAskAgain = 3s;
constexpr uint32_t kAtOnce = 32;  // pieces that are asked for together

void send_udp(ProgramPort& port, const IpAddress& from, const IpAddress& to, uint16_t source, uint16_t target, size_t size,
              const std::function<void(MutBytes)>& fill) {
  Packet p = port.empty_packet();
  const MutBytes udp = routing::start_ip(from, to, routing::IpProtocol::udp, kUdp + size, p);
  store_be16(&udp[0], source);
  store_be16(&udp[2], target);
  store_be16(&udp[4], static_cast<uint16_t>(kUdp + size));
  fill(udp.subspan(kUdp, size));
  routing::finish_ip(p);
  port.send(std::move(p));
}

class Talker final : public Program {
 public:
  Talker(Work work, std::vector<IpAddress> servers, SeededRng rng, Latencies& out)
      : work_(work), servers_(std::move(servers)), rng_(rng), latencies_(out) {}

  void start(ProgramPort& port) override { port.wake_at(port.now() + rng_.between(100ms, 3s)); }

  void on_timer(ProgramPort& port) override {
    if (work_ != Work::call && asked_ && port.now() - asked_at_ < kAskAgain) return port.wake_at(asked_at_ + kAskAgain);
    if (!asked_ || work_ == Work::call) begin(port);
    ask(port);
  }

  void on_packet(ProgramPort& port, Bytes ip) override {
    const auto h = routing::parse_ip(ip);
    if (!h.ok() || h->protocol != routing::IpProtocol::udp || h->source_port != kPort) return;
    Reader r(ip.subspan(h->payload_at + kUdp, h->size - h->payload_at - kUdp));
    const uint64_t number = r.be64();
    const uint32_t piece = r.be32();
    stats.bytes_down += r.ok() ? r.left() : 0;
    if (!r.ok() || !asked_ || number != number_ || piece != next_piece_) return;
    next_piece_++;
    if (next_piece_ < pieces_ && next_piece_ % kAtOnce != 0) return;
    if (next_piece_ < pieces_) return ask(port);
    finish(port);
  }

 private:
  void begin(ProgramPort& port) {
    number_ = rng_.u64();
    port_ = static_cast<uint16_t>(10'000 + rng_.below(50'000));
    server_ = servers_[rng_.below(servers_.size())];
    uint64_t bytes = work_ == Work::call ? 100 : work_ == Work::download ? 256 * 1024 : 24'000 + rng_.below(20'000);
    pieces_ = static_cast<uint32_t>((bytes + kPiece - 1) / kPiece);
    next_piece_ = 0;
    asked_ = true;
    began_ = port.now();
    stats.requests++;
  }
  void ask(ProgramPort& port) {
    asked_at_ = port.now();
    const size_t size = work_ == Work::call ? 200 : kRequest;
    send_udp(port, routing::InsideAddresses::get().client4, server_, port_, kPort, size, [&](MutBytes b) {
      store_be64(&b[0], number_);
      store_be32(&b[8], pieces_);
      store_be32(&b[12], next_piece_);
      rng_.fill(b.subspan(16, 16));
    });
    port.wake_at(port.now() + (work_ == Work::call ? Duration(40ms) : kAskAgain));
  }
  void finish(ProgramPort& port) {
    asked_ = false;
    stats.answered++;
    latencies_.milliseconds.push_back(static_cast<uint32_t>((port.now() - began_) / 1ms));
    if (work_ == Work::call) return;  // its next packet has its time
    port.wake_at(port.now() + (work_ == Work::download ? Duration(10ms) : rng_.between(4s, 20s)));
  }

  Work work_;
  std::vector<IpAddress> servers_;
  SeededRng rng_;
  Latencies& latencies_;
  IpAddress server_;
  uint16_t port_ = 0;  // another one for each request, so that answers show whose they are
  uint64_t number_ = 0;
  uint32_t pieces_ = 0, next_piece_ = 0;
  bool asked_ = false;
  Mono asked_at_ = kLongAgo, began_ = kLongAgo;
};

class Answerer final : public Program {
 public:
  void on_packet(ProgramPort& port, Bytes ip) override {
    const auto h = routing::parse_ip(ip);
    if (!h.ok() || h->protocol != routing::IpProtocol::udp || h->destination_port != kPort) return;
    Reader r(ip.subspan(h->payload_at + kUdp, h->size - h->payload_at - kUdp));
    const uint64_t number = r.be64();
    const uint32_t pieces = r.be32(), first = r.be32();
    if (!r.ok()) return;
    stats.requests++;
    stats.bytes_up += h->size;
    const uint32_t end = std::min(pieces, (first / kAtOnce + 1) * kAtOnce);
    for (uint32_t i = first; i < end; i++) {
      send_udp(port, h->destination, h->source, kPort, h->source_port, pieces == 1 ? 200 : kPiece, [&](MutBytes b) {
        store_be64(&b[0], number);
        store_be32(&b[8], i);
        store_be32(&b[12], pieces);
        std::fill(b.begin() + kAnswer, b.end(), static_cast<uint8_t>(i));
      });
    }
  }
};

}  // namespace

std::unique_ptr<Program> make_talker(Work work, std::vector<IpAddress> servers, SeededRng rng, Latencies& out) {
  return std::make_unique<Talker>(work, std::move(servers), rng, out);
}
std::unique_ptr<Program> make_answerer() { return std::make_unique<Answerer>(); }

}  // namespace macrovpn::sim
