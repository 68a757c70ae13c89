#include "sim/directory/dht_trial.h"

#include <algorithm>
#include <map>
#include <queue>

#include "core/discovery/dht_lookup.h"
#include "core/discovery/dht_store.h"
#include "sim/engine/streams.h"
#include "sim/engine/trace_hash.h"

namespace macrovpn::sim {
namespace {

using namespace discovery;

enum class Kind : uint8_t { honest, drop, old, forge, refuse };
constexpr uint8_t kFirst = 1, kSecond = 2;  // versions, and their values

struct Relay {
  PeerId id;
  Kind kind = Kind::honest;
  bool dead = false;
  std::unique_ptr<DhtStore> store;
};

// An answer on its way.
struct Arrival {
  Mono at;
  uint64_t number;
  DhtAsk ask;
  std::vector<uint8_t> answer;
  bool operator>(const Arrival& o) const { return at != o.at ? at > o.at : number > o.number; }
};

class Trial {
 public:
  explicit Trial(const DhtModel& m) : model_(m), rng_(Streams(m.seed).of("dht")), relays_(network()), places_(network()) {
    for (size_t i = 0; i < m.relays; i++) add_relay(i);
    liar_ = crypto::ed25519_generate(rng_);
  }

  DhtReport run() {
    std::vector<crypto::SigningKey> owners;
    for (size_t i = 0; i < model_.keys / 2; i++) owners.push_back(put_both());
    for (auto& [id, r] : by_id_) r.dead = rng_.below(1'000'000) < model_.dead;
    for (size_t i = owners.size(); i < model_.keys; i++) owners.push_back(put_both());
    for (const auto& owner : owners) get(owner);
    report_.hash = trace_.value();
    return std::move(report_);
  }

 private:
  Network network() const {
    Network n;
    n.id.bytes = {3};
    n.max_per_v4_16 = 4096;
    return n;
  }
  void add_relay(size_t i) {
    auto e = std::make_shared<RelayEntry>();
    rng_.fill(e->id.bytes);
    e->short_id = short_id_of(e->id);
    e->rank = rng_.u64();
    e->expiry = now_.wall + std::chrono::hours(30);
    e->home = IpAddress::v4(0x0a000001 + (static_cast<uint32_t>(i) << 8));
    SetChanges changes;
    static_cast<void>(relays_.insert(e, changes));
    places_.apply(changes);
    Relay& r = by_id_[e->id];
    r.id = e->id;
    r.store = std::make_unique<DhtStore>(relays_.network(), e->id);
    if (rng_.below(1'000'000) < model_.evil) r.kind = static_cast<Kind>(1 + rng_.below(4));
  }

  DhtSlot slot_of(const crypto::SigningKey& owner) const {
    return {0, owner.pub, dht_name(relays_.network().id, "where I am"), dht_day(now_.wall)};
  }
  crypto::SigningKey put_both() {
    const auto owner = crypto::ed25519_generate(rng_);
    for (const uint8_t version : {kFirst, kSecond}) {
      const DhtSlot slot = slot_of(owner);
      const std::vector<uint8_t> value(300, version);
      const auto record = sign_dht_record({slot, version, now_.wall + std::chrono::hours(12), value}, relays_.network().id, owner);
      DhtPutOperation put(record, dht_key(relays_.network().id, slot), next_number());
      const auto heard = [&](const PeerId& from, Bytes body, DhtOut& out) { put.on_stored(now_, from, body, places_, out); };
      converse(put, heard);
      report_.puts++;
      report_.acknowledged += put.succeeded();
    }
    return owner;
  }
  void get(const crypto::SigningKey& owner) {
    DhtGet get(relays_.network(), DhtService::diagnosis, owner.pub, dht_name(relays_.network().id, "where I am"), next_number());
    const Mono began = now_.mono;
    const auto heard = [&](const PeerId& from, Bytes body, DhtOut& out) { get.on_found(now_, from, body, places_, out); };
    converse(get, heard);
    report_.took.push_back(now_.mono - began);
    report_.gets++;
    report_.asked += get.asked();
    const auto& r = get.result();
    const bool whole = r && r->value == std::vector<uint8_t>(300, r->value.empty() ? 0 : r->value[0]);
    const uint8_t version = whole && !r->value.empty() ? r->value[0] : 0;
    (!r ? report_.nothing : version == kSecond ? report_.right : version == kFirst ? report_.old : report_.forged)++;
  }
  uint32_t next_number() { return numbers_ += 2; }

  // Until it is done.
  template <class Operation, class Heard>
  void converse(Operation& op, const Heard& heard) {
    std::priority_queue<Arrival, std::vector<Arrival>, std::greater<>> flying;
    DhtOut out;
    const auto carry = [&] {
      for (DhtAsk& a : std::exchange(out.asks, {})) ask(std::move(a), flying);
    };
    op.start(now_, places_, out);
    carry();
    while (!op.is_done()) {
      const bool waits = flying.empty() || op.next_deadline() <= flying.top().at;
      advance_to(waits ? op.next_deadline() : flying.top().at);
      if (waits) {
        op.on_deadline(now_, places_, out);
      } else {
        const Arrival a = flying.top();
        flying.pop();
        trace_.add(load_le64(a.ask.relay.bytes.data()) ^ a.answer.size());
        heard(a.ask.relay, a.answer, out);
      }
      carry();
    }
  }
  void advance_to(Mono t) { now_ = {t, now_.wall + (t - now_.mono)}; }

  template <class Queue>
  void ask(DhtAsk a, Queue& flying) {
    Relay& r = by_id_.at(a.relay);
    report_.bytes += a.body.size();
    if (r.dead || r.kind == Kind::drop || rng_.below(100) == 0) return;
    auto answer = answer_of(r, a);
    report_.bytes += answer.size();
    if (rng_.below(100) == 0) return;
    flying.push({now_.mono + rng_.between(10ms, 340ms), flights_++, std::move(a), std::move(answer)});
  }
  std::vector<uint8_t> answer_of(Relay& r, const DhtAsk& a) {
    const auto request = parse_dht_request(a.kind, a.body);
    MV_ASSERT(request);
    if (r.kind == Kind::refuse) {
      return a.kind == DhtKind::put ? encode_dht_stored(request->number, DhtPut::not_ours) : encode_dht_found(request->number, {});
    }
    if (r.kind == Kind::forge && a.kind == DhtKind::get) return encode_dht_found(request->number, forged(r, *request));
    // Who serves what is old takes no second version, and who forges keeps what it bends.
    const bool second = a.kind == DhtKind::put && open_dht_record(request->record, relays_.network().id)->seq == kSecond;
    if (r.kind == Kind::old && second) return encode_dht_stored(request->number, DhtPut::stored);
    return *r.store->on_request(now_.wall, a.kind, a.body, places_, relays_);
  }
  std::vector<uint8_t> forged(Relay& r, const DhtRequest& request) {
    const Bytes held = r.store->get(now_.wall, request.key);
    std::vector<uint8_t> out(held.begin(), held.end());
    if (out.size() > kDhtRecordOverhead && rng_.below(2) == 0) {
      store_le64(out.data() + 54, 99);  // a later seq, and another value
      out[80] ^= 0xff;
      return out;
    }
    return sign_dht_record({slot_of(liar_), 99, now_.wall + std::chrono::hours(12), {9}}, relays_.network().id, liar_);
  }

  DhtModel model_;
  SeededRng rng_;
  Now now_{Mono(std::chrono::hours(1)), wall_from_unix(1'800'000'000)};
  RelaySet relays_;
  DhtPlaces places_;
  std::map<PeerId, Relay> by_id_;
  crypto::SigningKey liar_;
  uint32_t numbers_ = 0;
  uint64_t flights_ = 0;
  TraceHash trace_;
  DhtReport report_;
};

}  // namespace

DhtReport try_dht(const DhtModel& m) { return Trial(m).run(); }

}  // namespace macrovpn::sim
