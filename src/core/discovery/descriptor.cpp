#include "core/discovery/descriptor.h"

#include "core/discovery/body.h"
#include "crypto/hash.h"

namespace macrovpn::discovery {
namespace {

constexpr std::string_view kDescriptorLabel = "macrovpn descriptor 1";
constexpr std::string_view kRenewalLabel = "macrovpn renewal 1";
constexpr std::string_view kFamilyLabel = "macrovpn family 1";
constexpr std::string_view kBindLabel = "macrovpn bind 1";
constexpr size_t kShortId = 8;
constexpr size_t kRenewalSigned = kShortId + 4 + 4 + 32;
static_assert(kRenewalSize == kRenewalSigned + 64);

using Buffer = std::vector<uint8_t>;

Buffer joined(std::string_view label, std::initializer_list<Bytes> parts) {
  Buffer out;
  Writer w(out);
  w.bytes(as_bytes(label));
  for (const Bytes part : parts) w.bytes(part);
  return out;
}

struct Times {
  Wall signed_at;
  Wall expiry;
};

Times read_times(Reader& r) {
  const Wall signed_at = wall_from_unix(r.le32());
  return {signed_at, wall_from_unix(r.le32())};
}

uint32_t stamp(Wall t) {
  return static_cast<uint32_t>(unix_seconds(t));
}

// What holds of every signature, however old: the life that it promises.
Result<void> check_life(const Times& t) {
  if (t.expiry <= t.signed_at || t.expiry - t.signed_at > kDescriptorLife) {
    return fail(
        "the descriptor promises a life that is not allowed (36 hours at most); ask its relay for a new one");
  }
  return {};
}

// The three parts of a stored descriptor; renewal is empty if there is none.
struct Parts {
  Bytes body, block, renewal;
};

Result<Parts> split(Bytes descriptor) {
  Reader r(descriptor);
  const size_t size = r.le16();
  Parts p{r.take(size), r.take(kBlockSize), {}};
  if (r.ok() && r.left() == kRenewalSize) p.renewal = r.rest();
  if (!r.done() || size > kMaxBody) {
    return fail("the descriptor has the wrong size; it was cut off or is no descriptor: copy it again");
  }
  return p;
}

Result<Times> verify_block(const Parts& p, const IdentityKey& identity, const crypto::Hash32& body_hash) {
  Reader r(p.block);
  const Times times = read_times(r);
  const auto message = joined(kDescriptorLabel, {body_hash, p.block.first(8)});
  if (!crypto::ed25519_verify(identity, message, r.fixed<64>())) {
    return fail(
        "the descriptor's signature is wrong; it was changed on its way: ask its relay for a new one");
  }
  TRY_VOID(check_life(times));
  return times;
}

Result<Times> verify_renewal(Bytes renewal, RelayInfo& relay, const crypto::Hash32& body_hash, Wall body_signed_at) {
  Reader r(renewal);
  const Bytes short_id = r.take(kShortId);
  const Times times = read_times(r);
  relay.prekey.bytes = r.fixed<32>();
  const auto message = joined(kRenewalLabel, {body_hash, renewal.first(kRenewalSigned)});
  if (!equal(short_id, Bytes(relay.id.bytes).first(kShortId)) ||
      !crypto::ed25519_verify(relay.identity, message, r.fixed<64>())) {
    return fail("the signature of the descriptor's renewal is wrong; ask its relay for a new one");
  }
  if (times.signed_at < body_signed_at || relay.prekey == PublicKey{}) {
    return fail("the descriptor's renewal is older than itself or has no key; ask its relay for a new one");
  }
  TRY_VOID(check_life(times));
  return times;
}

void set_times(RelayInfo& relay, const Times& times) {
  relay.signed_at = times.signed_at;
  relay.expiry = times.expiry;
}

Result<void> check_family(const FamilyProof& proof, const PeerId& id, const NetworkId& network) {
  const auto message = joined(kFamilyLabel, {network.bytes, id.bytes});
  if (crypto::ed25519_verify(proof.family, message, proof.signature)) return {};
  return fail(
      "the descriptor claims a family whose key did not sign it; ask its relay's operator to correct it");
}

Buffer binding_message(const Binding& b) {
  return joined(kBindLabel, {b.network.bytes, b.challenge, b.caller.bytes, b.relay.bytes, b.handshake_hash});
}

Buffer times_from(Wall now) {
  Buffer out;
  Writer(out).le32(stamp(now)).le32(stamp(now + kDescriptorLife));
  return out;
}

void append_block(Writer& w, const crypto::SigningKey& key, const crypto::Hash32& hash, Bytes times) {
  w.bytes(times).bytes(crypto::ed25519_sign(key, joined(kDescriptorLabel, {hash, times})));
}

void append_renewal(Writer& w, const crypto::SigningKey& key, const crypto::Hash32& hash, Bytes times,
                    const PublicKey& prekey) {
  Buffer record;
  const PeerId id = peer_id_of(key.pub);
  Writer(record).bytes(Bytes(id.bytes).first(kShortId)).bytes(times).bytes(prekey.bytes);
  w.bytes(record).bytes(crypto::ed25519_sign(key, joined(kRenewalLabel, {hash, record})));
}

}  // namespace

PeerId peer_id_of(const IdentityKey& key) {
  return {crypto::blake2b_160({key.bytes})};
}

FamilyProof sign_family(const crypto::SigningKey& family_key, const PeerId& relay, const NetworkId& network) {
  return {family_key.pub,
          crypto::ed25519_sign(family_key, joined(kFamilyLabel, {network.bytes, relay.bytes}))};
}

Buffer sign_descriptor(const RelayInfo& relay, const NetworkId& network, const crypto::SigningKey& key,
                       Wall now, const std::optional<FamilyProof>& family, const RelayDetails& details) {
  RelayInfo self = relay;
  self.identity = key.pub;
  const Buffer body = encode_body(self, network, family, details);
  MV_ASSERT(body.size() <= kMaxBody);
  const crypto::Hash32 hash = crypto::blake2b_256({body});
  const Buffer times = times_from(now);
  Buffer out;
  Writer w(out);
  w.le16(static_cast<uint16_t>(body.size())).bytes(body);
  append_block(w, key, hash, times);
  if (relay.prekey != PublicKey{}) append_renewal(w, key, hash, times, relay.prekey);
  return out;
}

Wall next_signing_time(Wall last, Wall now) {
  return std::max(wall_from_unix(unix_seconds(now)), wall_from_unix(unix_seconds(last) + 1));
}

Buffer sign_renewal(const SignedDescriptor& d, const crypto::SigningKey& key, Wall now, const PublicKey& prekey) {
  Buffer out;
  Writer w(out);
  append_renewal(w, key, d.body_hash, times_from(now), prekey);
  return out;
}

Result<SignedDescriptor> open_descriptor(Bytes descriptor, const NetworkId& network) {
  TRY(const Parts parts, split(descriptor));
  TRY(Body body, parse_body(parts.body));
  if (body.network != network) {
    return fail("the descriptor belongs to another network; use the network file that its operator uses");
  }
  SignedDescriptor d;
  d.bytes.assign(descriptor.begin(), descriptor.end());
  d.details = std::move(body.details);
  d.body_hash = crypto::blake2b_256({parts.body});
  RelayInfo& relay = d.relay = std::move(body.relay);
  relay.id = peer_id_of(relay.identity);
  TRY(Times times, verify_block(parts, relay.identity, d.body_hash));
  d.body_signed_at = times.signed_at;
  if (!parts.renewal.empty()) {
    TRY(times, verify_renewal(parts.renewal, relay, d.body_hash, d.body_signed_at));
  }
  if (relay.created > times.signed_at) {
    return fail(
        "the descriptor says that its relay was made after it was signed; ask its relay for a new one");
  }
  if (body.family) {
    TRY_VOID(check_family(*body.family, relay.id, network));
    relay.family = body.family->family;
  }
  set_times(relay, times);
  return d;
}

Result<SignedDescriptor> with_renewal(const SignedDescriptor& old, Bytes renewal) {
  if (renewal.size() != kRenewalSize) return fail("the descriptor's renewal has the wrong size; copy it again");
  SignedDescriptor d = old;
  TRY(const Times times, verify_renewal(renewal, d.relay, d.body_hash, d.body_signed_at));
  set_times(d.relay, times);
  d.bytes.resize(old.without_renewal().size());
  Writer(d.bytes).bytes(renewal);
  return d;
}

Result<void> check_times(const RelayInfo& relay, Wall now) {
  if (relay.signed_at > now + kClockTolerance) {
    return fail("the descriptor was signed in the future; check this computer's clock, then the relay's");
  }
  if (relay.expiry <= now) return fail("the descriptor has expired; ask its relay for a new one");
  return {};
}

Result<RelayInfo> verify_descriptor(Bytes descriptor, const NetworkId& network, Wall now) {
  TRY(SignedDescriptor d, open_descriptor(descriptor, network));
  TRY_VOID(check_times(d.relay, now));
  return std::move(d.relay);
}

crypto::Signature sign_binding(const crypto::SigningKey& key, const Binding& b) {
  return crypto::ed25519_sign(key, binding_message(b));
}

bool verify_binding(const IdentityKey& identity, const crypto::Signature& signature, const Binding& b) {
  return crypto::ed25519_verify(identity, binding_message(b), signature);
}

}  // namespace macrovpn::discovery
