#include "sim/load/bulk.h"

namespace macrovpn::sim {

Bulk::Bulk(const BulkConfig& config, Rng& random) : config_(config), fetcher_(config.tcp, config.local, random), next_(config.begins) {}

void Bulk::on_packet(Mono now, Bytes packet, PacketSink& out) {
  fetcher_.on_packet(now, packet, out);
  advance(now, out);
}

void Bulk::on_deadline(Mono now, PacketSink& out) {
  fetcher_.on_deadline(now, out);
  if (now >= next_ && fetcher_.lines().empty() && !is_finished()) {
    watch_.begin(now);
    patient_until_ = now + config_.patience;
    next_ = fetcher_.open(now, config_.site.first, config_.up, config_.down, out) ? kNever : now + config_.pause_after_failure;
  }
  advance(now, out);
}

Mono Bulk::next_deadline() const {
  return std::min({fetcher_.next_deadline(), next_, fetcher_.lines().empty() ? kNever : patient_until_});
}

void Bulk::restart(Mono now) {
  if (!fetcher_.lines().empty()) report_.failed++;
  fetcher_.forget_all();
  next_ = is_finished() ? kNever : now;
}

void Bulk::advance(Mono now, PacketSink& out) {
  if (fetcher_.lines().empty()) return;
  if (fetcher_.count(report_)) {
    watch_.progress(now, report_);
    patient_until_ = now + config_.patience;
  }
  const ExchangeClient& client = *fetcher_.lines().front().client;
  if (client.is_idle()) {
    const ExchangeClient::Request& r = client.requests().front();
    report_.done++;
    report_.latency.add(r.done - r.asked);
    if (r.first_byte != kNever) report_.first_byte.add(r.first_byte - r.asked);
    fetcher_.close_all(now, out);
    next_ = is_finished() ? kNever : now + config_.pause;
    watch_.end(now, report_);
  } else if (client.failure() != TcpFailure::none || now >= patient_until_) {
    end_failed(now, out);
  }
}

void Bulk::end_failed(Mono now, PacketSink& out) {
  report_.failed++;
  const bool no_way = fetcher_.lines().front().client->failure() == TcpFailure::unreachable;
  if (no_way && config_.site.other) std::swap(config_.site.first, *config_.site.other);
  fetcher_.abort_all(now, out);
  next_ = now + config_.pause_after_failure;
  watch_.end(now, report_);
}

uint64_t Bulk::kilobits_per_second() const {
  const auto took = static_cast<uint64_t>(report_.latency.mean() / 1us) * report_.done;
  return took == 0 ? 0 : (config_.down + config_.up) * report_.done * 8000 / took;
}

}  // namespace macrovpn::sim
