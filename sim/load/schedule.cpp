#include "sim/load/schedule.h"

namespace macrovpn::sim {

// ---- a laptop

RoamingLaptop::RoamingLaptop(const LaptopConfig& config, Rng& random) : config_(config), random_(&random) {
  MV_ASSERT(!config_.networks.empty());
  access_ = config_.networks[random.below(config_.networks.size())];
  plan(config_.begins);
}

std::optional<LaptopStep> RoamingLaptop::on_deadline(Mono now) {
  if (now < next_.at) return std::nullopt;
  const LaptopStep step = next_;
  asleep_ = step.wish == LaptopWish::sleep;
  access_ = step.access;
  plan(step.at);
  return step;
}

void RoamingLaptop::plan(Mono from) {
  if (asleep_) {
    next_ = {from + random_->between(config_.least_sleep, config_.longest_sleep), LaptopWish::wake, access_};
    if (random_->below(2) == 0) next_.access = other_network();
    return;
  }
  next_ = {from + random_->between(config_.least_stay, config_.longest_stay), LaptopWish::move, access_};
  if (random_->below(1000) < config_.sleeps_per_thousand) {
    next_.wish = LaptopWish::sleep;
  } else {
    next_.access = other_network();
  }
}

Access RoamingLaptop::other_network() {
  const auto& all = config_.networks;
  const auto here = static_cast<size_t>(std::find(all.begin(), all.end(), access_) - all.begin());
  return all.size() == 1 ? access_ : all[(here + 1 + random_->below(all.size() - 1)) % all.size()];
}

// ---- a crowd

Churn::Churn(const ChurnConfig& config, Rng& random) : config_(config), random_(&random), there_(config.hosts, false) {
  MV_ASSERT(config.shorten_by > 0);
  for (uint32_t host = 0; host < config.hosts; host++) {
    const bool is_there = random.below(1000) < config.present_per_thousand;
    if (is_there) first_.push_back(host);
    there_[host] = is_there;
    present_ += is_there ? 1 : 0;
    plan(config.begins, host, is_there);
  }
}

void Churn::plan(Mono from, uint32_t host, bool is_there) {
  const uint64_t seconds = draw(is_there ? config_.session_seconds : config_.absence, *random_);
  const auto lasts = Duration(static_cast<int64_t>(seconds * 1'000'000'000 / config_.shorten_by));
  // Not two at the same time, so that what happens first does not hang on a number.
  steps_.emplace(from + lasts + random_->between(Duration(1), 1s / config_.shorten_by + Duration(1)), host);
}

std::optional<ChurnStep> Churn::on_deadline(Mono now) {
  if (now < next_deadline()) return std::nullopt;
  const auto [at, host] = *steps_.begin();
  steps_.erase(steps_.begin());
  ChurnStep step{at, host, ChurnWish::arrive};
  if (there_[host]) step.wish = random_->below(1000) < config_.crashes_per_thousand ? ChurnWish::crash : ChurnWish::leave;
  there_[host] = !there_[host];
  present_ = there_[host] ? present_ + 1 : present_ - 1;
  plan(at, host, there_[host]);
  return step;
}

}  // namespace macrovpn::sim
