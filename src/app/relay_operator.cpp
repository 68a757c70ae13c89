#include "app/relay_operator.h"

#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "shell/config/traffic_file.h"

namespace macrovpn::app {
namespace {

unsigned local_minute(Wall wall) {
  const time_t t = static_cast<time_t>(unix_seconds(wall));
  tm local{};
  localtime_r(&t, &local);
  return static_cast<unsigned>(local.tm_hour * 60 + local.tm_min);
}

const char* sentence(peers::Service s, peers::WhyNot why) {
  if (s == peers::Service::open) return "this relay serves";
  const bool draining = s == peers::Service::draining;
  switch (why) {
    case peers::WhyNot::hours:
      return draining ? "outside of its hours: this relay takes no new circuits" : "outside of its hours: this relay rests";
    case peers::WhyNot::amount:
      return draining ? "the month's amount is used up: this relay takes no new circuits"
                      : "the month's amount is used up: this relay rests";
    case peers::WhyNot::stopping:
    case peers::WhyNot::none:
      break;
  }
  return draining ? "ending: circuits are asked to move to other relays; a second signal ends it at once" : "ended";
}

}  // namespace

peers::ServiceLimits RelayOperator::limits_of(const DaemonOptions& o) {
  return {o.settings.month_amount, o.settings.hours, std::chrono::seconds(o.settings.drain_seconds)};
}

RelayOperator::~RelayOperator() {
  if (timer_) reactor_.cancel(*timer_);
  if (!ledger_) return;
  count();
  store();
}

Result<void> RelayOperator::start(std::function<void()> changed, std::function<void()> ended) {
  TRY(stored_, shell::load_traffic(file()));
  ledger_.emplace(stored_, options_.settings.month_day);
  changed_ = std::move(changed);
  ended_ = std::move(ended);
  count();
  if (const auto stored = shell::store_traffic(file(), ledger_->record()); !stored) {
    ledger_.reset();
    return stored.failure();  // better to know now
  }
  stored_ = ledger_->record();
  stored_at_ = reactor_.now().mono;
  tick();
  return {};
}

void RelayOperator::stop() {
  stopping_ = true;
  if (timer_) reactor_.cancel(*timer_);
  tick();
}

void RelayOperator::schedule() {
  const bool draining = policy_.service() == peers::Service::draining;
  timer_ = reactor_.after(draining ? kDrainTick : kTick, [this] { tick(); });
}

void RelayOperator::tick() {
  timer_.reset();
  count();
  judge();
  store_sometimes();
  if (stopping_ && policy_.service() == peers::Service::closed) return ended_();
  schedule();
}

void RelayOperator::count() {
  uint64_t bytes = 0;
  in_use_ = false;
  each_([&](shell::Driver& d) {
    bytes += d.node().resources().bytes();
    in_use_ |= d.node().relay()->legs() + d.node().exit()->leases() != 0;
  });
  if (bytes != counted_) last_carried_ = reactor_.now().mono;
  ledger_->add(reactor_.now(), bytes - counted_);
  counted_ = bytes;
}

void RelayOperator::judge() {
  const uint64_t amount = options_.settings.month_amount, used = ledger_->record().month_bytes;
  if (amount != 0) {
    const uint64_t most = amount + amount / 100;  // what may be exceeded while circuits move away
    const uint64_t end = counted_ + (most > used ? most - used : 0);
    each_([end](shell::Driver& d) { d.node().resources().end_at(end); });
  }
  const peers::Service before = policy_.service();
  const peers::ServiceFacts facts{.stopping = stopping_,
                                  .minute_of_day = local_minute(reactor_.now().wall),
                                  .month_bytes = used,
                                  .in_use = in_use_,
                                  .last_carried = last_carried_};
  const peers::Service now = policy_.update(reactor_.now().mono, facts);
  if (now == before) return;
  each_([now](shell::Driver& d) { d.set_service(now); });
  if (!(stopping_ && now == peers::Service::closed)) std::fprintf(stderr, "macrovpn: %s\n", sentence(now, policy_.why()));
  changed_();
}

void RelayOperator::store_sometimes() {
  const uint64_t fresh = ledger_->record().total_bytes - stored_.total_bytes;
  const uint64_t amount = options_.settings.month_amount;
  const bool much = amount != 0 && fresh != 0 && fresh >= amount / kStoreParts;
  const bool late = ledger_->record() != stored_ && reactor_.now().mono - stored_at_ >= kStoreEvery;
  if (much || late) store();
}

void RelayOperator::store() {
  stored_at_ = reactor_.now().mono;
  if (ledger_->record() == stored_) return;
  const auto done = shell::store_traffic(file(), ledger_->record());
  if (done.ok()) {
    stored_ = ledger_->record();
  } else {
    std::fprintf(stderr, "macrovpn: the traffic counters could not be saved: %s\n", done.error().message.c_str());
  }
}

nlohmann::json RelayOperator::json() const {
  const peers::TrafficRecord& r = ledger_->record();
  uint64_t over_the_rate = 0;
  each_([&](shell::Driver& d) { over_the_rate += d.node().resources().dropped(); });
  nlohmann::json out{{"service", peers::id_of(policy_.service())},
                     {"today_bytes", r.day_bytes},
                     {"month_bytes", r.month_bytes},
                     {"total_bytes", r.total_bytes},
                     {"month_ends", unix_seconds(ledger_->next_month())},
                     {"packets_over_the_rate", over_the_rate}};
  if (policy_.why() != peers::WhyNot::none) out["why"] = peers::id_of(policy_.why());
  if (options_.settings.month_amount != 0) out["month_amount"] = options_.settings.month_amount;
  if (options_.settings.rate.bytes_per_second != 0) out["rate"] = options_.settings.rate.bytes_per_second;
  return out;
}

}  // namespace macrovpn::app
