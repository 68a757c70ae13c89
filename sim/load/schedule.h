// What computers do to their networks, as wishes that the world carries out: laptops that roam and sleep, and a crowd that comes and goes.
#pragma once
#include <optional>
#include <set>
#include <vector>

#include "sim/load/quantiles.h"
#include "sim/net/access.h"
#include "sim/net/geography.h"

namespace macrovpn::sim {

// ---- a laptop

enum class LaptopWish : uint8_t {
  move,   // to another network: another address, at once, and packets under way to the old one are lost
  sleep,  // no packet, no deadline, and the clock that timers follow stands still
  wake,
};

struct LaptopStep {
  Mono at;
  LaptopWish wish = LaptopWish::move;
  Access access = Access::fibre;  // of the new network
};

struct LaptopConfig {
  std::vector<Access> networks{Access::fibre, Access::mobile, Access::cable};  // by turns at random, never the same twice
  Duration least_stay = std::chrono::seconds(30), longest_stay = std::chrono::minutes(3);
  Duration least_sleep = std::chrono::seconds(5), longest_sleep = std::chrono::minutes(2);
  uint32_t sleeps_per_thousand = 300;  // how often it sleeps instead of moving; after sleep it wakes, sometimes elsewhere
  Mono begins{};
};

class RoamingLaptop {
 public:
  RoamingLaptop(const LaptopConfig& config, Rng& random);
  Mono next_deadline() const { return next_.at; }
  // What is due; then the next one is drawn.
  std::optional<LaptopStep> on_deadline(Mono now);
  Access access() const { return access_; }
  bool sleeps() const { return asleep_; }

 private:
  void plan(Mono from);
  Access other_network();

  LaptopConfig config_;
  Rng* random_;
  Access access_;
  bool asleep_ = false;
  LaptopStep next_;
};

// ---- a crowd

enum class ChurnWish : uint8_t {
  arrive,
  leave,  // says goodbye first, as programs do that are told to end
  crash,  // is gone; comes back with its disk
};

struct ChurnStep {
  Mono at;
  uint32_t host = 0;
  ChurnWish wish = ChurnWish::arrive;
};

struct ChurnConfig {
  uint32_t hosts = 0;
  Quantiles session_seconds = client_session_seconds(), absence = absence_seconds();
  uint32_t present_per_thousand = 700;  // at the beginning
  uint32_t crashes_per_thousand = 300;  // of departures
  uint32_t shorten_by = 1;              // sessions and absences are divided by it, so that minutes show what days do
  Mono begins{};
};

class Churn {
 public:
  Churn(const ChurnConfig& config, Rng& random);
  // Hosts that are there at the beginning; the others arrive later.
  const std::vector<uint32_t>& present_at_first() const { return first_; }
  Mono next_deadline() const { return steps_.empty() ? kNever : steps_.begin()->first; }
  std::optional<ChurnStep> on_deadline(Mono now);  // again until there is nothing
  uint32_t present() const { return present_; }

 private:
  void plan(Mono from, uint32_t host, bool is_there);

  ChurnConfig config_;
  Rng* random_;
  std::vector<uint32_t> first_;
  std::vector<bool> there_;
  std::set<std::pair<Mono, uint32_t>> steps_;
  uint32_t present_ = 0;
};

}  // namespace macrovpn::sim
