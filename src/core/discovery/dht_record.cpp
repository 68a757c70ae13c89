#include "core/discovery/dht_record.h"

#include <algorithm>

namespace macrovpn::discovery {
namespace {

constexpr uint8_t kVersion = 1;
constexpr size_t kSignature = 64;

std::vector<uint8_t> signed_part(const NetworkId& network, Bytes body) {
  std::vector<uint8_t> out;
  Writer(out).bytes(as_bytes("macrovpn dht record 1")).bytes(network.bytes).bytes(body);
  return out;
}

}  // namespace

DhtName dht_name(const NetworkId& network, std::string_view name) {
  const auto hash = crypto::blake2b_256({as_bytes("macrovpn dht name 1"), network.bytes, as_bytes(name)});
  return *to_array<16>(Bytes(hash).first(16));
}

uint32_t dht_day(Wall t) { return static_cast<uint32_t>(std::clamp<int64_t>(unix_seconds(t) / 86'400, 0, UINT32_MAX)); }

DhtKey dht_key(const NetworkId& network, const DhtSlot& s) {
  ByteArray<5> numbers;
  numbers[0] = s.service;
  store_le32(numbers.data() + 1, s.day);
  const Bytes service = Bytes(numbers).first(1), day = Bytes(numbers).subspan(1);
  return {crypto::blake2b_256({as_bytes("macrovpn dht key 1"), network.bytes, service, s.owner.bytes, s.name, day})};
}

DhtPlace dht_place(const NetworkId& network, const PeerId& id, uint64_t rank) {
  ByteArray<8> r;
  store_le64(r.data(), rank);
  const auto hash = crypto::blake2b_256({as_bytes("macrovpn dht place 1"), network.bytes, id.bytes, r});
  return load_be64(hash.data());
}

std::vector<uint8_t> sign_dht_record(const DhtRecord& r, const NetworkId& network, const crypto::SigningKey& owner) {
  MV_ASSERT(r.value.size() <= kMaxDhtValue && owner.pub == r.slot.owner);
  std::vector<uint8_t> out;
  Writer w(out);
  w.u8(kVersion).u8(r.slot.service).bytes(r.slot.owner.bytes).bytes(r.slot.name).le32(r.slot.day).le64(r.seq);
  w.le32(static_cast<uint32_t>(unix_seconds(r.expiry))).le16(static_cast<uint16_t>(r.value.size())).bytes(r.value);
  const auto signature = crypto::ed25519_sign(owner, signed_part(network, out));
  w.bytes(signature);
  return out;
}

std::optional<DhtRecord> open_dht_record(Bytes bytes, const NetworkId& network) {
  if (bytes.size() > kMaxDhtRecord || bytes.size() < kDhtRecordOverhead) return std::nullopt;
  Reader r(bytes);
  DhtRecord out;
  if (r.u8() != kVersion) return std::nullopt;
  out.slot.service = r.u8();
  out.slot.owner.bytes = r.fixed<32>();
  out.slot.name = r.fixed<16>();
  out.slot.day = r.le32();
  out.seq = r.le64();
  out.expiry = wall_from_unix(r.le32());
  const Bytes value = r.take(r.le16());
  const auto signature = r.fixed<kSignature>();
  if (!r.done()) return std::nullopt;
  if (!crypto::ed25519_verify(out.slot.owner, signed_part(network, bytes.first(bytes.size() - kSignature)), signature)) return std::nullopt;
  out.value.assign(value.begin(), value.end());
  return out;
}

bool is_timely(const DhtRecord& r, Wall now) {
  if (r.expiry <= now || r.expiry > now + kMaxDhtLife + kDhtSkew) return false;
  // Of yesterday's key until it expires, of tomorrow's an hour before: its owner tells both around midnight.
  return r.slot.day + 1 >= dht_day(now) && r.slot.day <= dht_day(now + std::chrono::hours(1) + kDhtSkew);
}

void DhtPlaces::reset(std::span<const EntryPtr> relays) {
  places_.clear();
  places_.reserve(relays.size());
  for (const EntryPtr& e : relays) {
    if (!e->convicted()) places_.push_back({dht_place(network_, e->id, e->rank), e->id});
  }
  std::sort(places_.begin(), places_.end());
  places_.erase(std::unique(places_.begin(), places_.end()), places_.end());
}

void DhtPlaces::apply(const SetChanges& changes) {
  for (const EntryPtr& e : changes.gone) remove(*e);
  for (const EntryPtr& e : changes.come) add(*e);
}

void DhtPlaces::add(const RelayEntry& e) {
  if (e.convicted()) return;
  const Place place{dht_place(network_, e.id, e.rank), e.id};
  const auto at = std::lower_bound(places_.begin(), places_.end(), place);
  if (at == places_.end() || *at != place) places_.insert(at, place);
}

void DhtPlaces::remove(const RelayEntry& e) {
  if (e.convicted()) return;
  const Place place{dht_place(network_, e.id, e.rank), e.id};
  const auto at = std::lower_bound(places_.begin(), places_.end(), place);
  if (at != places_.end() && *at == place) places_.erase(at);
}

std::vector<PeerId> DhtPlaces::closest(const DhtKey& key, size_t count, size_t skip) const {
  const DhtPlace to = macrovpn::discovery::place_of(key);
  std::vector<std::pair<DhtPlace, const Place*>> by_distance;
  by_distance.reserve(places_.size());
  for (const Place& p : places_) by_distance.emplace_back(p.at ^ to, &p);
  const size_t wanted = std::min(skip + count, by_distance.size());
  // Equal places (nobody gets them by chance) in the order of ids, which is that of the vector.
  std::partial_sort(by_distance.begin(), by_distance.begin() + static_cast<std::ptrdiff_t>(wanted), by_distance.end());
  std::vector<PeerId> out;
  for (size_t i = skip; i < wanted; i++) out.push_back(by_distance[i].second->id);
  return out;
}

}  // namespace macrovpn::discovery
