#include "sim/load/browser.h"

namespace macrovpn::sim {
namespace {

constexpr uint64_t kUsualObject = 20'000;  // of a page of a given size
constexpr size_t kMostObjects = 30;

uint64_t around(uint64_t value, Rng& random) { return value - value / 4 + random.below(value / 2 + 1); }

}  // namespace

Browser::Browser(BrowserConfig config, Rng& random)
    : config_(std::move(config)), random_(&random), fetcher_(config_.tcp, config_.local, random) {
  MV_ASSERT(!config_.sites.empty() && config_.most_connections > 0);
  next_page_ = config_.begins + random.between(Duration(0), 5s);
}

void Browser::on_packet(Mono now, Bytes packet, PacketSink& out) {
  fetcher_.on_packet(now, packet, out);
  advance(now, out);
}

void Browser::on_deadline(Mono now, PacketSink& out) {
  fetcher_.on_deadline(now, out);
  if (!loading_ && now >= next_page_) begin_page(now, out);
  advance(now, out);
}

Mono Browser::next_deadline() const {
  return std::min(fetcher_.next_deadline(), loading_ ? began_ + config_.patience : next_page_);
}

void Browser::restart(Mono now) {
  fetcher_.forget_all();
  if (loading_) report_.failed++;
  loading_ = false;
  next_page_ = now + reading();
}

void Browser::begin_page(Mono now, PacketSink& out) {
  loading_ = true;
  has_first_ = false;
  began_ = now;
  site_ = config_.sites[random_->below(config_.sites.size())];
  plan_page();
  watch_.begin(now);
  if (!fetcher_.open(now, site_.first, config_.request_bytes, first_bytes_, out)) end_page(now, false, out);
}

void Browser::plan_page() {
  if (config_.page_bytes == 0) {
    left_ = draw(page_objects(), *random_);
    first_bytes_ = draw(first_object_bytes(), *random_);
    object_bytes_ = 0;
    return;
  }
  const uint64_t page = std::max<uint64_t>(around(config_.page_bytes, *random_), 4);
  first_bytes_ = page / 4;
  left_ = std::clamp<size_t>((page - first_bytes_) / kUsualObject, 1, kMostObjects);
  object_bytes_ = (page - first_bytes_) / left_;
}

uint64_t Browser::next_object() {
  return object_bytes_ == 0 ? draw(object_bytes(), *random_) : object_bytes_;
}

Duration Browser::reading() {
  if (config_.reading == Duration(0)) return std::chrono::milliseconds(draw(reading_milliseconds(), *random_));
  return random_->between(config_.reading - config_.reading / 4, config_.reading + config_.reading / 4);
}

// A browser with a page's first connection refused by the way itself does not tell the person.
bool Browser::try_other_address(Mono now, PacketSink& out) {
  if (has_first_ || !site_.other) return false;
  fetcher_.abort_all(now, out);
  site_ = {*site_.other, {}};
  return fetcher_.open(now, site_.first, config_.request_bytes, first_bytes_, out);
}

void Browser::advance(Mono now, PacketSink& out) {
  if (!loading_) return;
  if (fetcher_.count(report_)) watch_.progress(now, report_);
  size_t busy = 0;
  for (const Fetcher::Line& line : fetcher_.lines()) {
    const TcpFailure failure = line.client->failure();
    if (failure == TcpFailure::unreachable && try_other_address(now, out)) return;
    if (failure != TcpFailure::none && !line.client->is_idle()) return end_page(now, false, out);
    busy += line.client->is_idle() ? 0 : 1;
  }
  if (!has_first_ && busy == 0) {
    has_first_ = true;
    const ExchangeClient::Request& first = fetcher_.lines().front().client->requests().front();
    report_.first_byte.add(first.first_byte - first.asked);
  }
  if (has_first_ && left_ > 0) return fetch_more(now, out);
  if (busy == 0) return end_page(now, true, out);
  if (now >= began_ + config_.patience) end_page(now, false, out);
}

// First on the connections that are idle, then on new ones.
void Browser::fetch_more(Mono now, PacketSink& out) {
  for (Fetcher::Line& line : fetcher_.lines()) {
    if (left_ == 0) return;
    if (!line.client->is_idle()) continue;
    if (fetcher_.ask(now, line, config_.request_bytes, next_object(), out)) left_--;
  }
  while (left_ > 0 && fetcher_.lines().size() < config_.most_connections) {
    if (!fetcher_.open(now, site_.first, config_.request_bytes, next_object(), out)) return end_page(now, false, out);
    left_--;
  }
  if (now >= began_ + config_.patience) end_page(now, false, out);
}

void Browser::end_page(Mono now, bool whole, PacketSink& out) {
  loading_ = false;
  watch_.end(now, report_);
  if (whole) {
    report_.done++;
    report_.latency.add(now - began_);
    fetcher_.close_all(now, out);
  } else {
    report_.failed++;
    fetcher_.abort_all(now, out);
  }
  next_page_ = now + (whole ? reading() : config_.again_after);
}

}  // namespace macrovpn::sim
