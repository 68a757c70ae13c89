// Somebody who writes a false source address must not make a relay send more than he did.  Counted on the wire, for each relay and
// each source of datagrams to its listening port, in bytes of UDP payload:
//
//   a source that is nobody's own (a forgery)    what came out never exceeds what went in
//   an honest host                               the same until it spoke again after an answer: then it proved its address
#include <unordered_map>

#include "sim/check/checker.h"

namespace macrovpn::sim {
namespace {

class Amplification final : public Checker {
 public:
  const char* name() const override { return "amplification"; }
  const char* promise() const override {
    return "a relay sends no more bytes to an address than came from it, until that address has proved itself";
  }
  std::string looked_at() const override {
    return std::to_string(callers_.size()) + " callers, " + std::to_string(forged_) + " datagrams with a forged source";
  }

  void reaches(World& w, const Reaching& d) override {
    if (!d.to.relays() || d.socket != kListenSocket) return;
    forged_ += d.forged;
    Balance& b = callers_[key_of(w, d.to, d.source, d.forged)];
    if (!d.forged && b.out > 0) b.proved = true;
    b.in += d.bytes.size();
  }

  void leaves(World& w, const Leaving& d) override {
    if (!d.from.relays() || d.socket != kListenSocket || d.made_up) return;
    Balance* b = nullptr;
    // To a forged source where there is one, else to whoever is there.
    if (const auto f = callers_.find({d.from.id, d.target, 0}); f != callers_.end()) b = &f->second;
    const Key known = key_of(w, d.from, d.target, false);
    if (const auto k = callers_.find(known); k != callers_.end() && (b == nullptr || k->second.proved)) b = &k->second;
    if (b == nullptr) b = &callers_[known];
    b->out += d.bytes.size();
    if (b->proved || b->out <= b->in) return;
    broken(w, d.from.name + " sent " + std::to_string(b->out) + " bytes to an address from which " + std::to_string(b->in) +
                  " bytes came and that has proved nothing",
           {d.from.id});
  }

 private:
  struct Key {
    HostId relay;
    Endpoint endpoint;  // of a forgery
    uint32_t host = 0;  // else who it is, plus one: it may come over another NAT binding
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    size_t operator()(const Key& k) const noexcept {
      return std::hash<Endpoint>{}(k.endpoint) ^ (size_t{k.relay.value} << 32 | k.host) * 0x9e3779b97f4a7c15;
    }
  };
  struct Balance {
    uint64_t in = 0, out = 0;
    bool proved = false;
  };
  static Key key_of(World& w, const Host& relay, const Endpoint& e, bool forged) {
    const Host* who = forged ? nullptr : w.behind(e);
    if (who != nullptr) return {relay.id, {}, who->id.value + 1};
    return {relay.id, e, 0};
  }
  std::unordered_map<Key, Balance, Hash> callers_;
  uint64_t forged_ = 0;
};

}  // namespace

std::unique_ptr<Checker> make_amplification_checker() { return std::make_unique<Amplification>(); }

}  // namespace macrovpn::sim
