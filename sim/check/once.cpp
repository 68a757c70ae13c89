// Replay windows, numbered trailers and sessions together promise it: whatever the wire doubles or an adversary repeats, a packet of
// a program comes out at most as often as it went in.
#include <deque>
#include <unordered_map>

#include "sim/check/checker.h"
#include "sim/check/mark.h"

namespace macrovpn::sim {
namespace {

constexpr Duration kRemembered = 3min;  // as long as a session may open what was sealed for it

class Once final : public Checker {
 public:
  const char* name() const override { return "once"; }
  const char* promise() const override { return "no packet comes out of a tunnel more often than it went in"; }
  std::string looked_at() const override { return std::to_string(came_) + " packets that came out"; }

  void program_sent(World& w, const Host&, Bytes ip) override { went_in(w, ip); }
  void exit_got(World& w, const Host&, Bytes ip) override { went_in(w, ip); }
  void exit_sent(World& w, const Host& h, Bytes ip) override { came_out(w, h, ip); }
  void program_got(World& w, const Host& h, Bytes ip) override { came_out(w, h, ip); }

 private:
  struct Count {
    uint32_t in = 0, out = 0;
    Mono last_in;  // programs send again what was not acknowledged
  };
  struct Sent {
    Mono at;
    uint64_t mark;
  };
  void went_in(World& w, Bytes ip) {
    const auto mark = ports_mark_of(ip);
    if (!mark) return;
    const auto [at, is_new] = counts_.try_emplace(*mark);
    at->second.in++;
    at->second.last_in = w.now().mono;
    if (is_new) order_.push_back({w.now().mono, *mark});
    while (!order_.empty() && order_.front().at + kRemembered < w.now().mono) {
      const Sent oldest = order_.front();
      order_.pop_front();
      const auto old = counts_.find(oldest.mark);
      if (old->second.last_in == oldest.at) {
        counts_.erase(old);
      } else {
        order_.push_back({old->second.last_in, oldest.mark});  // later than it would be in order: kept a little longer
      }
    }
  }
  void came_out(World& w, const Host& h, Bytes ip) {
    const auto mark = ports_mark_of(ip);
    const auto at = mark ? counts_.find(*mark) : counts_.end();
    if (at == counts_.end()) return;  // an ICMP error, or older than what is remembered
    came_++;
    if (++at->second.out <= at->second.in) return;
    broken(w, "a packet of " + std::to_string(ip.size()) + " bytes went in " + std::to_string(at->second.in) + " times and came out at " +
                  h.name + " for the " + std::to_string(at->second.out) + "th time", {h.id});
  }

  std::unordered_map<uint64_t, Count> counts_;
  std::deque<Sent> order_;
  uint64_t came_ = 0;
};

}  // namespace

std::unique_ptr<Checker> make_once_checker() { return std::make_unique<Once>(); }

}  // namespace macrovpn::sim
