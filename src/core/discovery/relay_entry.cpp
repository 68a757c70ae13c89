#include "core/discovery/relay_entry.h"

#include "core/discovery/work.h"

namespace macrovpn::discovery {
namespace {

ByteArray<16> digest_of(const PeerId& id, uint32_t seq, Bytes body_hash) {
  ByteArray<4> s;
  store_le32(s.data(), seq);
  const auto hash = crypto::blake2b_256({as_bytes("macrovpn item 1"), id.bytes, s, body_hash});
  return *to_array<16>(Bytes(hash).first(16));
}

IpAddress home_of(const RelayInfo& r) {
  const auto v4 = std::find_if(r.endpoints.begin(), r.endpoints.end(), [](const Endpoint& e) { return e.address.is_v4(); });
  return v4 != r.endpoints.end() ? v4->address : r.endpoints.front().address;
}

}  // namespace

ShortId short_id_of(const PeerId& id) { return {load_be64(id.bytes.data())}; }

EntryPtr make_entry(SignedDescriptor d, const Network& network) {
  const auto rank = claimed_rank(d, network);
  if (!rank || d.bytes.size() > kMaxHandedOn) return nullptr;
  auto e = std::make_shared<RelayEntry>();
  e->id = d.relay.id;
  e->short_id = short_id_of(e->id);
  e->seq = static_cast<uint32_t>(unix_seconds(d.relay.signed_at));
  e->rank = *rank;
  e->expiry = d.relay.expiry;
  e->digest = digest_of(e->id, e->seq, d.body_hash);
  e->home = home_of(d.relay);
  e->descriptor = std::move(d);
  return e;
}

EntryPtr make_conviction(const RelayEntry& a, const RelayEntry& b) {
  auto e = std::make_shared<RelayEntry>();
  e->conviction = convict(a.descriptor, b.descriptor);
  e->id = a.id;
  e->short_id = a.short_id;
  e->seq = kConvicted;
  e->rank = std::min(a.rank, b.rank);
  e->expiry = e->conviction->until;
  e->digest = digest_of(e->id, e->seq, {});
  e->home = a.home;
  return e;
}

}  // namespace macrovpn::discovery
