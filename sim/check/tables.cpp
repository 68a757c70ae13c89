// What grows has a limit.  The sizes that a node tells are compared after each event that touched it.  What its own
// check_invariants() walks through takes longer than the event did, so that each node has its turn once in half a minute.
#include "sim/check/checker.h"

namespace macrovpn::sim {
namespace {

constexpr size_t kTurns = 30;

class Tables final : public Checker {
 public:
  const char* name() const override { return "tables"; }
  const char* promise() const override { return "every table of a node stays within its limit"; }
  std::string looked_at() const override {
    return std::to_string(looks_) + " looks, " + std::to_string(walks_) + " whole walks; at most " + std::to_string(most_legs_) +
           " legs, " + std::to_string(most_leases_) + " leases, " + std::to_string(most_callers_) + " callers, " +
           std::to_string(most_circuits_) + " circuits of a node";
  }

  void touched(World& w, const Host& h) override {
    if (!h.node) return;
    looks_++;
    const node::Node& n = *h.node;
    within(w, h, "callers", n.tunnels().ephemeral_count(), h.config.tunnels.ephemeral_peers, most_callers_);
    if (n.relay()) within(w, h, "legs", n.relay()->legs(), h.config.legs.total, most_legs_);
    if (n.exit()) within(w, h, "leases", n.exit()->leases(), h.config.leases.leases, most_leases_);
    if (!n.client()) return;
    const auto& circuits = n.client()->circuits();
    const auto& groups = n.client()->groups();
    within(w, h, "groups", groups.size(), node::kMaxGroups, most_groups_);
    within(w, h, "circuits", circuits.size(), 4 * groups.size() + h.config.client->spare_circuits + 4, most_circuits_);
    for (const auto& [id, c] : circuits) within(w, h, "pings on their way", c.pings.size(), node::kMaxPings, most_pings_);
    for (const auto& [id, g] : groups) within(w, h, "waiting packets", g.waiting.size(), node::kMaxWaiting, most_waiting_);
  }

  void each_second(World& w) override {
    for (size_t i = turn_++ % kTurns; i < w.hosts().size(); i += kTurns) {
      if (!w.hosts()[i]->node) continue;
      walks_++;
      w.hosts()[i]->node->check_invariants();
    }
  }

 private:
  void within(World& w, const Host& h, const char* what, size_t size, size_t limit, size_t& most) {
    most = std::max(most, size);
    if (size > limit) {
      broken(w, h.name + " has " + std::to_string(size) + " " + what + ", and " + std::to_string(limit) + " is the limit", {h.id});
    }
  }
  size_t turn_ = 0;
  uint64_t looks_ = 0, walks_ = 0;
  size_t most_callers_ = 0, most_legs_ = 0, most_leases_ = 0, most_groups_ = 0, most_circuits_ = 0, most_pings_ = 0,
         most_waiting_ = 0;
};

}  // namespace

std::unique_ptr<Checker> make_table_checker() { return std::make_unique<Tables>(); }

}  // namespace macrovpn::sim
