#include "sim/load/fetcher.h"

namespace macrovpn::sim {
namespace {

// A connection may outlive the line that wanted it, so both own what it shows.
class Shown final : public TcpContent {
 public:
  explicit Shown(std::shared_ptr<ExchangeClient> client) : client_(std::move(client)) {}
  void fill(uint64_t offset, MutBytes out) override { client_->fill(offset, out); }
  void show(uint64_t offset, Bytes came) override { client_->show(offset, came); }
  void changed(Mono now, TcpEndpoint& tcp) override { client_->changed(now, tcp); }

 private:
  std::shared_ptr<ExchangeClient> client_;
};

}  // namespace

bool Fetcher::open(Mono now, const Endpoint& site, uint64_t body, uint64_t answer, PacketSink& out) {
  auto client = std::make_shared<ExchangeClient>(random_->u64());
  const auto id = host_.connect(now, local_.of(site), site, std::make_unique<Shown>(client), out);
  if (!id) return false;
  client->ask(now, *host_.find(*id), body, answer);
  lines_.push_back({*id, std::move(client), site});
  return true;
}

bool Fetcher::ask(Mono now, Line& line, uint64_t body, uint64_t answer, PacketSink& out) {
  TcpEndpoint* const tcp = host_.find(line.id);
  if (tcp == nullptr || tcp->peer_ended()) return false;
  line.client->ask(now, *tcp, body, answer);
  host_.flush(now, line.id, out);
  return true;
}

void Fetcher::close_all(Mono now, PacketSink& out) {
  for (const Line& line : lines_)
    if (TcpEndpoint* const tcp = host_.find(line.id)) {
      tcp->close();
      host_.flush(now, line.id, out);
    }
  lines_.clear();
}

void Fetcher::abort_all(Mono now, PacketSink& out) {
  for (const Line& line : lines_) host_.abort(now, line.id, out);
  lines_.clear();
}

void Fetcher::forget_all() {
  host_.forget_all();
  lines_.clear();
}

bool Fetcher::count(LoadReport& report) {
  bool progress = false;
  for (Line& line : lines_) {
    const uint64_t down = line.client->answered(), up = line.client->acknowledged(), wrong = line.client->wrong();
    progress |= down != line.counted_down || up != line.counted_up;
    report.bytes_down += down - line.counted_down;
    report.bytes_up += up - line.counted_up;
    report.wrong_bytes += wrong - line.counted_wrong;
    line.counted_down = down;
    line.counted_up = up;
    line.counted_wrong = wrong;
  }
  return progress;
}

}  // namespace macrovpn::sim
