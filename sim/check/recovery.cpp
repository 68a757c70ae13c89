// Whatever went wrong: a while after the last of it was over, every client that is awake has a circuit again, and what its programs
// ask is answered.  Over means for this client: with itself, and with the network as a whole (World::trouble_until).  A few relays that come
// and go, its guards too, are no excuse.
//
// Not every packet asks: an acknowledgement is never answered.  And programs do not ask all the time: a TCP that got no answer waits longer
// each time.  So a client is judged by what it asks after the deadline: that has to be answered within kAnswer.
#include <algorithm>
#include <map>

#include "core/routing/address_rewrite.h"
#include "sim/check/checker.h"

namespace macrovpn::sim {
namespace {

constexpr Duration kAnswer = 5s;    // the longest way there and back, with its queues
constexpr Duration kSilence = 60s;  // who asked nothing for so long begins anew: what was given up is answered by nobody

// Whether somebody who gets it has to say something.
bool asks(Bytes packet) {
  const auto ip = routing::parse_ip(packet);
  if (!ip.ok() || !ip->has_transport()) return false;
  if (ip->protocol != routing::IpProtocol::tcp) return ip->protocol == routing::IpProtocol::udp;
  const size_t header = size_t{packet[ip->payload_at + 12u]} / 16 * 4;
  return (ip->tcp_flags & routing::kTcpRst) == 0 &&
         ((ip->tcp_flags & (routing::kTcpSyn | routing::kTcpFin)) != 0 || ip->payload_at + header < ip->size);
}

class Recovery final : public Checker {
 public:
  explicit Recovery(Duration deadline) : deadline_(deadline) {}
  const char* name() const override { return "recovery"; }
  const char* promise() const override { return "clients have a circuit again, and answers come through it, in time after faults are over"; }
  std::string looked_at() const override {
    return std::to_string(looks_) + " looks at clients, the longest without a circuit " + std::to_string(longest_without_ / 1s) +
           " s, with questions unanswered " + std::to_string(longest_asking_ / 1s) + " s";
  }

  void program_sent(World& w, const Host& client, Bytes ip) override {
    if (!client.runs() || !asks(ip)) return;
    const Mono now = w.now().mono;
    Asking& a = asking_.try_emplace(client.id, Asking{now, now, kNever}).first->second;
    if (now - a.last > kSilence) a = {now, now, kNever};
    a.last = now;
    const Duration grace = deadline_ - kAnswer;
    if (a.late == kNever && now - a.since >= grace && now >= since(w, client, a.since) + grace) a.late = now;
  }
  void program_got(World&, const Host& client, Bytes ip) override {
    const auto h = routing::parse_ip(ip);
    if (h.ok() && !routing::InsideAddresses::get().is_dns(h->source)) asking_.erase(client.id);  // not what its own node says
  }

  void each_second(World& w) override {
    for (const auto& h : w.hosts()) {
      if (h->kind != HostKind::client) continue;
      if (!h->runs() || h->node->client()->protects()) without_since_.erase(h->id);
      if (!h->runs()) {
        asking_.erase(h->id);
        continue;
      }
      looks_++;
      judge_circuit(w, *h);
      judge_answers(w, *h);
    }
  }

 private:
  struct Asking {
    Mono since, last;  // questions without any answer
    Mono late;         // the first after the deadline
  };

  // From when the time counts.
  static Mono since(World& w, const Host& h, Mono began) {
    return std::max({began, w.trouble_until(), h.trouble_until});
  }
  void judge_circuit(World& w, const Host& h) {
    if (h.node->client()->protects()) return;
    const Mono began = without_since_.try_emplace(h.id, w.now().mono).first->second;
    const Duration without = w.now().mono - since(w, h, began);
    longest_without_ = std::max(longest_without_, without);
    if (without > deadline_) say(w, h, " has no circuit", without);
  }
  void judge_answers(World& w, const Host& h) {
    const auto at = asking_.find(h.id);
    if (at == asking_.end()) return;
    Asking& a = at->second;
    const Mono now = w.now().mono, from = since(w, h, a.since);
    longest_asking_ = std::max(longest_asking_, now - from);
    if (a.late == kNever) return;
    if (a.late < from + deadline_ - kAnswer) {
      a.late = kNever;  // something else went wrong since
    } else if (now - a.late > kAnswer) {
      say(w, h, " gets no answers", now - from);
    }
  }
  void say(World& w, const Host& h, const char* what, Duration without) const {
    const std::string& why = h.node->client()->trouble();
    broken(w, h.name + what + ", " + std::to_string(without / 1s) + " s after the last fault was over" +
                  (why.empty() ? "" : "; its node says: " + why),
           {h.id});
  }

  Duration deadline_;
  std::map<HostId, Mono> without_since_;
  std::map<HostId, Asking> asking_;
  Duration longest_without_{0}, longest_asking_{0};
  uint64_t looks_ = 0;
};

}  // namespace

std::unique_ptr<Checker> make_recovery_checker(Duration deadline) { return std::make_unique<Recovery>(deadline); }

}  // namespace macrovpn::sim
