// Whatever went wrong: a while after the last of it was over, every client that is awake has a circuit again.  Over means for this
// client: with itself, and with the network as a whole (World::trouble_until).  A few relays that come and go, its guards too, are no excuse.
#include <algorithm>
#include <map>

#include "sim/check/checker.h"

namespace macrovpn::sim {
namespace {

class Recovery final : public Checker {
 public:
  explicit Recovery(Duration deadline) : deadline_(deadline) {}
  const char* name() const override { return "recovery"; }
  const char* promise() const override { return "clients have a circuit again, and answers come through it, in time after faults are over"; }
  std::string looked_at() const override {
    return std::to_string(looks_) + " looks at clients, the longest without a circuit or an answer " + std::to_string(longest_ / 1s) +
           " s";
  }

  void program_sent(World& w, const Host& client, Bytes) override { unanswered_since_.try_emplace(client.id, w.now().mono); }
  void program_got(World&, const Host& client, Bytes) override { unanswered_since_.erase(client.id); }

  void each_second(World& w) override {
    for (const auto& h : w.hosts()) {
      if (h->kind != HostKind::client) continue;
      if (!h->runs() || h->node->client()->protects()) without_since_.erase(h->id);
      if (!h->runs()) unanswered_since_.erase(h->id);
      if (!h->runs() || (h->node->client()->protects() && !unanswered_since_.contains(h->id))) continue;
      looks_++;
      if (!h->node->client()->protects()) without_since_.try_emplace(h->id, w.now().mono);
      judge(w, *h, without_since_, " has no circuit");
      judge(w, *h, unanswered_since_, " gets no answers");
    }
  }

 private:
  void judge(World& w, const Host& h, const std::map<HostId, Mono>& since, const char* what) {
    const auto at = since.find(h.id);
    if (at == since.end()) return;
    const Mono over = std::max(w.trouble_until(), h.trouble_until);
    const Duration without = w.now().mono - std::max(at->second, over);
    longest_ = std::max(longest_, without);
    if (without <= deadline_) return;
    const std::string& why = h.node->client()->trouble();
    broken(w, h.name + what + ", " + std::to_string(without / 1s) + " s after the last fault was over" +
                  (why.empty() ? "" : "; its node says: " + why),
           {h.id});
  }

  Duration deadline_;
  std::map<HostId, Mono> without_since_, unanswered_since_;
  Duration longest_{0};
  uint64_t looks_ = 0;
};

}  // namespace

std::unique_ptr<Checker> make_recovery_checker(Duration deadline) { return std::make_unique<Recovery>(deadline); }

}  // namespace macrovpn::sim
