#include "sim/directory/directory_trial.h"

#include <algorithm>

namespace macrovpn::sim {
namespace {

using namespace discovery;
using std::chrono::minutes;

constexpr Duration kUpkeepWatched = minutes(10);
constexpr Duration kNever_ = std::chrono::hours(24);  // what a thing took that did not happen

int64_t in_ms(std::optional<Duration> d) { return (d ? *d : Duration(kNever_)) / 1ms; }

class Trial {
 public:
  Trial(const DirectoryOptions& o, std::span<const std::string> only, const std::function<void(const char*)>& progress)
      : world_(o), only_(only), progress_(progress), rng_(Streams(o.seed).of("trial")), start_(world_.now().mono) {}

  DirectoryReport run() {
    progress_("settling");
    world_.run_for(minutes(4));
    world_.renew_every(std::chrono::hours(12));
    step("upkeep", [&] { upkeep(); });
    step("news", [&] { news("news_99", "news to 99 % of relays"); });
    step("newcomers", [&] { newcomers("first_sync", "first sync of a client, all bytes, of 1000 raw"); });
    step("equivocation", [&] { equivocation(); });
    step("censors", [&] { censors(); });
    step("partition", [&] { partition(); });
    step("clocks", [&] { clocks(); });
    step("deaths", [&] { deaths(); });
    report_.hash = world_.hash();
    report_.messages = world_.messages();
    report_.virtual_time = world_.now().mono - start_;
    for (NodeNumber n = 0; n < std::min<size_t>(world_.relays(), 50); n++) world_.gossip(n).check_invariants();
    return report_;
  }

 private:
  void step(const char* name, const std::function<void()>& what) {
    if (!only_.empty() && std::find(only_.begin(), only_.end(), name) == only_.end()) return;
    progress_(name);
    what();
  }
  void figure(const char* name, const char* what, int64_t value, int64_t at_most, const char* unit) {
    report_.figures.push_back({name, what, value, at_most, unit});
    progress_((std::string("  ") + name + " " + std::to_string(value) + " " + unit).c_str());
  }
  NodeNumber any() { return static_cast<NodeNumber>(rng_.below(world_.relays())); }
  NodeNumber any_honest() {
    for (;;) {
      const NodeNumber n = any();
      const EntryPtr e = world_.set_of(n).find(world_.id_of(n));
      if (world_.is_alive(n) && !world_.is_censor(n) && e && !e->convicted()) return n;
    }
  }
  bool has(NodeNumber n, const Item& item) {
    const EntryPtr e = world_.set_of(n).find(item.id);
    return e && e->seq >= item.seq;
  }
  // How many of the relays that count lack an item; stops counting beyond `enough`.
  size_t lacking(const std::vector<Item>& items, size_t enough = SIZE_MAX) {
    size_t lack = 0;
    for (NodeNumber n = 0; n < world_.relays() && lack <= enough; n++) {
      if (!world_.is_alive(n) || world_.is_censor(n)) continue;
      for (const Item& i : items) lack += !has(n, i);
    }
    return lack;
  }
  std::vector<Item> everything_alive() {
    std::vector<Item> out;
    for (NodeNumber n = 0; n < world_.relays(); n++) {
      const EntryPtr e = world_.set_of(n).find(world_.id_of(n));
      if (world_.is_alive(n) && e) out.push_back({e->short_id, e->seq});
    }
    return out;
  }
  uint64_t sent() const {
    uint64_t all = 0;
    for (NodeNumber n = 0; n < world_.relays(); n++) all += world_.traffic(n).sent;
    return all;
  }

  void upkeep() {
    world_.run_for(minutes(1));
    std::vector<uint64_t> before;
    for (NodeNumber n = 0; n < world_.relays(); n++) before.push_back(world_.traffic(n).sent);
    const uint64_t all = sent();
    world_.run_for(kUpkeepWatched);
    const int64_t seconds = kUpkeepWatched / 1s;
    uint64_t most = 0;
    for (NodeNumber n = 0; n < world_.relays(); n++) most = std::max(most, world_.traffic(n).sent - before[n]);
    figure("upkeep", "a relay's upkeep, sent, renewals every 12 h", static_cast<int64_t>((sent() - all) / world_.relays()) / seconds, 300, "B/s");
    figure("upkeep_most", "that of the relay that sends most", static_cast<int64_t>(most) / seconds, 1200, "B/s");
  }

  // The slowest of several.
  void news(const char* name, const char* what) {
    int64_t slowest = 0, half = 0;
    size_t counted = 0;
    for (NodeNumber n = 0; n < world_.relays(); n++) counted += world_.is_alive(n) && !world_.is_censor(n);
    for (int i = 0; i < 10; i++) {
      const std::vector<Item> item{i % 2 == 0 ? world_.change(any_honest()) : world_.renew(any_honest())};
      const auto to_half = world_.run_until(minutes(5), 50ms, [&] { return lacking(item, counted / 2) <= counted / 2; });
      const auto rest = world_.run_until(minutes(5), 50ms, [&] { return lacking(item, counted / 100) <= counted / 100; });
      half = std::max(half, in_ms(to_half));
      slowest = std::max(slowest, in_ms(to_half) + in_ms(rest));
    }
    figure(name, what, slowest, 60'000, "ms");
    if (std::string_view(name) == "news_99") figure("news_50", "news to half of them", half, 60'000, "ms");
  }

  std::vector<NodeNumber> sources() {
    std::vector<NodeNumber> out;
    while (out.size() < kSyncSources) {
      const NodeNumber n = any_honest();
      if (std::find(out.begin(), out.end(), n) == out.end()) out.push_back(n);
    }
    return out;
  }

  void newcomers(const char* name, const char* what) {
    int64_t worst = 0, longest = 0, missing = 0, not_chosen = 0;
    for (int i = 0; i < 3; i++) {
      const NodeNumber c = world_.add_client();
      const auto from = sources();
      uint64_t raw = 0;
      for (const EntryPtr& e : world_.set_of(from[0]).all()) raw += e->descriptor.bytes.size();
      world_.sync(c, from);
      const auto took = world_.run_until(minutes(5), 100ms, [&] { return !world_.client(c).is_syncing(); });
      const Traffic t = world_.traffic(c);
      worst = std::max(worst, static_cast<int64_t>((t.sent + t.received) * 1000 / raw));
      longest = std::max(longest, in_ms(took));
      for (const EntryPtr& e : world_.set_of(from[0]).all()) {
        missing += world_.set_of(c).find(e->short_id) == nullptr;
        not_chosen += !world_.client(c).may_choose(e->short_id) && !e->convicted();
      }
      const auto verdict = world_.client(c).take_verdict();
      missing += !verdict || verdict->kind != SyncVerdict::Kind::accepted || !verdict->struck.empty();
    }
    figure(name, what, worst, 1200, "");
    figure((std::string(name) + "_time").c_str(), "and the time that it took, with both cross-checks", longest, 120'000, "ms");
    figure((std::string(name) + "_missing").c_str(), "relays that it missed or did not believe", missing + not_chosen, 0, "");
  }

  void equivocation() {
    const NodeNumber liar = any_honest();
    const std::vector<Item> proof{world_.equivocate(liar, any_honest(), any_honest())};
    const auto took = world_.run_until(minutes(15), 1s, [&] { return lacking(proof, 0) == 0; });
    figure("conviction", "a relay that shows two faces is convicted everywhere", in_ms(took), 600'000, "ms");
  }

  // 30 % take in nothing new of some relays, and so hand it on to nobody.
  void censors() {
    std::vector<NodeNumber> targets;
    for (int i = 0; i < 20; i++) targets.push_back(any_honest());
    std::vector<ShortId> ids;
    for (const NodeNumber n : targets) ids.push_back(world_.id_of(n));
    std::sort(ids.begin(), ids.end());
    world_.set_targets(ids);
    for (NodeNumber n = 0; n < world_.relays(); n++) {
      const bool is_target = std::find(targets.begin(), targets.end(), n) != targets.end();
      if (!is_target && rng_.below(100) < 30) world_.censor(n, true);
    }
    std::vector<Item> items;
    for (const NodeNumber n : targets) {
      const EntryPtr e = world_.set_of(n).find(world_.id_of(n));
      if (e && !e->convicted()) items.push_back(world_.change(n));
    }
    const auto took = world_.run_until(minutes(20), 1s, [&] { return lacking(items, 0) == 0; });
    figure("censored", "30 % censor: all honest relays have all honest descriptors", in_ms(took), 600'000, "ms");
    for (NodeNumber n = 0; n < world_.relays(); n++) world_.censor(n, false);
    world_.set_targets({});
    world_.run_for(minutes(1));
  }

  void partition() {
    for (NodeNumber n = 0; n < world_.relays(); n++) world_.set_side(n, static_cast<int>(rng_.below(2)));
    std::vector<Item> items;
    for (int i = 0; i < 10; i++) {
      const NodeNumber n = any();
      const EntryPtr e = world_.set_of(n).find(world_.id_of(n));
      if (e && !e->convicted()) items.push_back(world_.change(n));
      world_.run_for(30s);
    }
    figure("partition", "the network is cut in two for 5 minutes: 1 if all its news came through", lacking(items) == 0, 0, "");
    for (NodeNumber n = 0; n < world_.relays(); n++) world_.set_side(n, 0);
    const auto took = world_.run_until(minutes(30), 1s, [&] { return lacking(items, 0) == 0; });
    figure("healed", "then all have all", in_ms(took), 600'000, "ms");
  }

  void clocks() {
    for (NodeNumber n = 0; n < world_.relays(); n++) world_.set_skew(n, rng_.between(-minutes(10), minutes(10)));
    world_.run_for(minutes(2));
    const uint64_t before = sent();
    const Mono start = world_.now().mono;
    std::vector<Item> items;
    for (int i = 0; i < 20; i++) items.push_back(world_.change(any_honest()));
    const auto took = world_.run_until(minutes(40), 1s, [&] { return lacking(items, 0) == 0; });
    // A clock 20 minutes ahead of another may be refused for 10.
    figure("clocks", "clocks wrong by up to 10 minutes: all have all", in_ms(took), 20 * 60'000, "ms");
    const int64_t seconds = std::max<int64_t>((world_.now().mono - start) / 1s, 1);
    figure("clocks_upkeep", "and what a relay sends meanwhile", static_cast<int64_t>((sent() - before) / world_.relays()) / seconds, 300, "B/s");
    for (NodeNumber n = 0; n < world_.relays(); n++) world_.set_skew(n, {});
    world_.run_for(minutes(1));
  }

  // Descriptors of which some living relay has no version at all.
  int64_t lost(const std::vector<Item>& items) {
    int64_t lost = 0;
    for (NodeNumber n = 0; n < world_.relays(); n++) {
      if (!world_.is_alive(n)) continue;
      for (const Item& i : items) lost += world_.set_of(n).find(i.id) == nullptr;
    }
    return lost;
  }

  void deaths() {
    const std::vector<Item> before = everything_alive();
    for (NodeNumber n = 0; n < world_.relays(); n++) {
      if (rng_.below(100) < 30) world_.kill(n);
    }
    news("deaths_news", "30 % die at once: news to 99 % of the living");
    world_.run_for(minutes(5));
    figure("deaths_lost", "after which the living have lost so many descriptors, the dead ones' among them", lost(before), 0, "");
    newcomers("deaths_sync", "and a first sync from the living, all bytes, of 1000 raw");
  }

  DirectoryWorld world_;
  const std::span<const std::string> only_;
  const std::function<void(const char*)>& progress_;
  SeededRng rng_;
  Mono start_;
  DirectoryReport report_;
};

}  // namespace

bool DirectoryReport::held() const {
  return std::all_of(figures.begin(), figures.end(), [](const DirectoryFigure& f) { return f.held(); });
}

DirectoryReport try_directory(const DirectoryOptions& o, std::span<const std::string> only, const std::function<void(const char*)>& progress) {
  return Trial(o, only, progress).run();
}

}  // namespace macrovpn::sim
