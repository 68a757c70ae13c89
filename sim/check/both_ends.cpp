// Who a packet is from is known to the simulator alone: it remembers what each program sent, and finds it again at the exit.
// What a relay knows of a client is its address, as the source of a datagram.  Relays that put their knowledge together are not
// judged here but measured (sim/actors/collusion.h).
#include <deque>
#include <unordered_map>
#include <unordered_set>

#include "sim/check/checker.h"
#include "sim/check/mark.h"

namespace macrovpn::sim {
namespace {

constexpr Duration kRemembered = 60s;

class BothEnds final : public Checker {
 public:
  const char* name() const override { return "both_ends"; }
  const char* promise() const override {
    return "with two or more hops no relay sees both a client's address and where its packets go";
  }
  std::string looked_at() const override {
    return std::to_string(found_) + " packets followed from a program to an exit, " + std::to_string(seen_.size()) +
           " relays that saw a client's address";
  }

  void program_sent(World& w, const Host& client, Bytes ip) override {
    const auto mark = mark_of(ip);
    if (!mark) return;
    const auto [at, is_new] = senders_.try_emplace(*mark, client.id);
    if (!is_new && at->second != client.id) at->second = HostId{UINT32_MAX};  // two said the same: nobody knows
    if (is_new) order_.push_back({w.now().mono, *mark});
    while (!order_.empty() && order_.front().at + kRemembered < w.now().mono) {
      senders_.erase(order_.front().mark);
      order_.pop_front();
    }
  }

  void reaches(World& w, const Reaching& d) override {
    if (d.forged || !d.to.relays()) return;
    const Host* from = w.behind(d.source);
    if (from != nullptr && from->kind == HostKind::client) seen_.insert(pair_of(d.to.id, from->id));
  }

  void exit_sent(World& w, const Host& exit, Bytes ip) override {
    const auto mark = mark_of(ip);
    const auto sender = mark ? senders_.find(*mark) : senders_.end();
    if (sender == senders_.end() || sender->second.value == UINT32_MAX) return;
    found_++;
    const Host& client = w.host(sender->second);
    if (client.config.client->hops < 2 || !seen_.contains(pair_of(exit.id, client.id))) return;
    broken(w, exit.name + " got datagrams from the address of " + client.name + " and now sends a packet of it to its destination",
           {exit.id, client.id});
  }

 private:
  static uint64_t pair_of(HostId a, HostId b) { return uint64_t{a.value} << 32 | b.value; }
  struct Sent {
    Mono at;
    uint64_t mark;
  };
  std::unordered_map<uint64_t, HostId> senders_;
  std::deque<Sent> order_;
  std::unordered_set<uint64_t> seen_;  // (relay, client)
  uint64_t found_ = 0;
};

}  // namespace

std::unique_ptr<Checker> make_both_ends_checker() { return std::make_unique<BothEnds>(); }

}  // namespace macrovpn::sim
