// Somebody who writes a false source address must not make a relay send more than he did.  Counted on the wire, in bytes of UDP payload.
//
//   a source that is nobody's own (a forgery)   what came out to it never exceeds what came in from it
//   an honest caller                            the same for each relay that it calls, over all handshakes that are not confirmed yet
//
// Which handshake a datagram belongs to stands in its header, and the world holds the directory and all keys, so the mask hides
// nothing from it.  A handshake is confirmed by the first transport message for it that reaches the relay; it is not counted from then on.
// A core that shared out what was left of one caller's several handshakes at one relay would not be noticed: which of them have one static
// key is sealed.
#include <algorithm>
#include <map>
#include <unordered_map>

#include "core/encryption/header_mask.h"
#include "sim/check/checker.h"

namespace macrovpn::sim {
namespace {

using encryption::MessageType;
constexpr Duration kForgotten = 15s;  // a relay forgets a handshake that nobody confirms after 10 s
constexpr Duration kSessionEnds = 5min;  // and its index with it, at the latest
constexpr size_t kLooked = 32;        // of a datagram: type and indexes are in its beginning

class Amplification final : public Checker {
 public:
  const char* name() const override { return "amplification"; }
  const char* promise() const override {
    return "a relay sends no more bytes to an address than came from it, until that address has proved itself";
  }
  std::string looked_at() const override {
    return std::to_string(handshakes_) + " handshakes, " + std::to_string(confirmed_) + " of them confirmed, " +
           std::to_string(forged_) + " datagrams with a forged source";
  }

  void reaches(World& w, const Reaching& d) override {
    if (!d.to.relays() || d.socket != kListenSocket) return;
    if (d.forged) {
      forged_++;
      strangers_[{d.to.id, d.source}].in += d.bytes.size();
      return;
    }
    const Host* caller = w.behind(d.source);
    if (caller == nullptr) return;
    const auto m = read(w, d.to, *caller, d.bytes);
    if (!m) return;
    Callers& c = callers_[{d.to.id, caller->id}];
    forget(w.now().mono, c);
    if (m->type == MessageType::initiation) {
      if (c.confirmed.contains(m->sender)) return;  // a replay, which changes nothing
      const auto [at, is_new] = c.open.try_emplace(m->sender, Handshake{w.now().mono, 0, 0, {}});
      handshakes_ += is_new;
      at->second.in += d.bytes.size();
    } else if (m->type == MessageType::transport) {
      if (const auto at = c.answered.find(m->receiver); at != c.answered.end()) {
        confirmed_++;
        c.confirmed[at->second] = w.now().mono;
        c.open.erase(at->second);
        c.answered.erase(at);
      }
    }
  }

  void leaves(World& w, const Leaving& d) override {
    if (!d.from.relays() || d.socket != kListenSocket || d.made_up) return;
    if (const auto s = strangers_.find({d.from.id, d.target}); s != strangers_.end()) {
      s->second.out += d.bytes.size();
      if (s->second.out > s->second.in) too_much(w, d.from, "an address that nobody has", s->second.in, s->second.out);
      return;
    }
    const Host* caller = w.behind(d.target);
    const auto at = caller == nullptr ? callers_.end() : callers_.find({d.from.id, caller->id});
    if (at == callers_.end()) return;
    Callers& c = at->second;
    forget(w.now().mono, c);
    if (c.open.empty()) return;
    const auto m = read(w, d.from, *caller, d.bytes);
    const auto h = m ? c.open.find(m->receiver) : c.open.end();
    if (h == c.open.end()) return;  // confirmed
    h->second.out += d.bytes.size();
    if (m->type == MessageType::response) {
      h->second.answers.push_back(m->sender);
      c.answered[m->sender] = h->first;
    }
    uint64_t in = 0, out = 0;
    for (const auto& [index, open] : c.open) in += open.in, out += open.out;
    if (out > in) too_much(w, d.from, caller->name + ", which has confirmed none of its newest handshakes", in, out);
  }

 private:
  struct Stranger {
    HostId relay;
    Endpoint endpoint;
    bool operator==(const Stranger&) const = default;
  };
  struct Hash {
    size_t operator()(const Stranger& s) const noexcept {
      return std::hash<Endpoint>{}(s.endpoint) ^ size_t{s.relay.value} * 0x9e3779b97f4a7c15;
    }
  };
  struct Bytes2 {
    uint64_t in = 0, out = 0;
  };
  struct Handshake {
    Mono began;
    uint64_t in = 0, out = 0;
    std::vector<uint32_t> answers;  // the relay's indexes
  };
  struct Callers {  // of one host at one relay
    std::map<uint32_t, Handshake> open;    // by the caller's index
    std::map<uint32_t, uint32_t> answered;  // the relay's index, the caller's
    std::map<uint32_t, Mono> confirmed;     // the caller's index
    Mono swept = kLongAgo;
  };
  struct Message {
    MessageType type;
    uint32_t sender = 0, receiver = 0;  // as far as it has them
  };

  void too_much(World& w, const Host& relay, const std::string& to, uint64_t in, uint64_t out) {
    broken(w, relay.name + " sent " + std::to_string(out) + " bytes to " + to + ", and " + std::to_string(in) + " came from there",
           {relay.id});
  }

  static void forget(Mono now, Callers& c) {
    if (now - c.swept < kForgotten) return;
    c.swept = now;
    std::erase_if(c.confirmed, [&](const auto& x) { return x.second + kSessionEnds < now; });
    for (auto at = c.open.begin(); at != c.open.end();) {
      if (at->second.began + kForgotten >= now) {
        ++at;
        continue;
      }
      for (const uint32_t index : at->second.answers) c.answered.erase(index);
      at = c.open.erase(at);
    }
  }

  // What `relay` and its caller say to each other, in either direction.
  std::optional<Message> read(World& w, const Host& relay, const Host& caller, Bytes datagram) {
    if (datagram.size() < kLooked) return std::nullopt;
    ByteArray<kLooked> head = *to_array<kLooked>(datagram.first(kLooked));
    auto type = mask_of(w, relay).unmask(head);
    if (!type && caller.relays() && pair_of(w, relay, caller).unmask(head)) type = MessageType::transport;
    if (!type) return std::nullopt;
    Message m{*type};
    const uint32_t first = load_le32(&head[4]), second = load_le32(&head[8]);
    switch (*type) {
      case MessageType::initiation: m.sender = first; break;
      case MessageType::response: m.sender = first, m.receiver = second; break;
      default: m.receiver = first;
    }
    return m;
  }
  const encryption::MaskKey& mask_of(World& w, const Host& relay) {
    return masks_.try_emplace(relay.id, w.network().id.bytes, relay.disk.wireguard.pub).first->second;
  }
  const encryption::PairKeys& pair_of(World& w, const Host& a, const Host& b) {
    const std::pair<HostId, HostId> key = std::minmax(a.id, b.id);
    if (const auto at = pairs_.find(key); at != pairs_.end()) return at->second;
    auto made = encryption::PairKeys::derive(w.network().id.bytes, a.disk.wireguard, b.disk.wireguard.pub);
    MV_ASSERT(made.ok());
    return pairs_.emplace(key, std::move(made).value()).first->second;
  }

  std::unordered_map<Stranger, Bytes2, Hash> strangers_;
  std::map<std::pair<HostId, HostId>, Callers> callers_;
  std::map<HostId, encryption::MaskKey> masks_;
  std::map<std::pair<HostId, HostId>, encryption::PairKeys> pairs_;
  uint64_t handshakes_ = 0, confirmed_ = 0, forged_ = 0;
};

}  // namespace

std::unique_ptr<Checker> make_amplification_checker() { return std::make_unique<Amplification>(); }

}  // namespace macrovpn::sim
