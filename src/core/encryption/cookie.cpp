#include "core/encryption/cookie.h"

namespace macrovpn::encryption {
namespace {

crypto::Hash32 mac1_key_of(const PublicKey& k) {
  return crypto::blake2s({as_bytes("mac1----"), k.bytes});
}
Secret<32> cookie_key_of(const PublicKey& k) {
  return Secret<32>(crypto::blake2s({as_bytes("cookie--"), k.bytes}));
}
Bytes before_mac1(Bytes m) {
  return m.first(m.size() - 2 * kMacSize);
}
Bytes mac1_of(Bytes m) {
  return m.subspan(m.size() - 2 * kMacSize, kMacSize);
}
Bytes before_mac2(Bytes m) {
  return m.first(m.size() - kMacSize);
}
Bytes mac2_of(Bytes m) {
  return m.last(kMacSize);
}

constexpr size_t kNonceAt = 8, kNonceSize = 24, kSealedAt = kNonceAt + kNonceSize;

}  // namespace

crypto::Mac16 write_macs(MutBytes message, const PublicKey& receiver, const Cookie* cookie) {
  const auto mac1 = crypto::keyed_blake2s_128(mac1_key_of(receiver), {before_mac1(message)});
  std::copy(mac1.begin(), mac1.end(), message.end() - 2 * kMacSize);
  crypto::Mac16 mac2{};
  if (cookie != nullptr) mac2 = crypto::keyed_blake2s_128(cookie->value, {before_mac2(message)});
  std::copy(mac2.begin(), mac2.end(), message.end() - kMacSize);
  return mac1;
}

CookieChecker::CookieChecker(const PublicKey& self, Rng& rng)
    : mac1_key_(mac1_key_of(self)), cookie_key_(cookie_key_of(self)), rng_(rng) {}

void CookieChecker::set_self(const PublicKey& self) {
  mac1_key_ = mac1_key_of(self);
  cookie_key_ = cookie_key_of(self);
}

bool CookieChecker::check_mac1(Bytes message) const {
  return equal_constant_time(crypto::keyed_blake2s_128(mac1_key_, {before_mac1(message)}), mac1_of(message));
}

crypto::Mac16 CookieChecker::cookie_of(Mono now, const Endpoint& source) {
  if (now - secret_made_ >= kCookieLifetime) {
    rng_.fill(secret_.fill());
    secret_made_ = now;
  }
  ByteArray<2> port;
  store_be16(port.data(), source.port);
  return crypto::keyed_blake2s_128(secret_.reveal(), {source.address.bytes(), port});
}

bool CookieChecker::check_mac2(Mono now, Bytes message, const Endpoint& source) {
  // Before the first reply there is no cookie that anybody could hold.
  if (now - secret_made_ >= kCookieLifetime) return false;
  const auto cookie = cookie_of(now, source);
  return equal_constant_time(crypto::keyed_blake2s_128(cookie, {before_mac2(message)}), mac2_of(message));
}

ByteArray<kCookieReplySize> CookieChecker::reply(Mono now, Bytes to, const Endpoint& source) {
  ByteArray<kCookieReplySize> out{};
  out[0] = static_cast<uint8_t>(MessageType::cookie_reply);
  store_le32(&out[4], sender_index(to).value);
  const auto nonce = rng_.bytes<kNonceSize>();
  std::copy(nonce.begin(), nonce.end(), out.begin() + kNonceAt);
  crypto::xaead_seal(cookie_key_, nonce, mac1_of(to), cookie_of(now, source),
                     MutBytes(out).subspan(kSealedAt));
  return out;
}

std::optional<crypto::Mac16> open_cookie_reply(Bytes reply, const PublicKey& called,
                                               const crypto::Mac16& sent_mac1) {
  MV_ASSERT(reply.size() == kCookieReplySize);
  crypto::Mac16 out;
  if (!crypto::xaead_open(cookie_key_of(called), *to_array<kNonceSize>(reply.subspan(kNonceAt, kNonceSize)),
                          sent_mac1, reply.subspan(kSealedAt), out)) {
    return std::nullopt;
  }
  return out;
}

void LoadMeter::count(Mono now) {
  if (now - window_ >= 1s) {
    window_ = now;
    count_ = 0;
  }
  if (++count_ > threshold_) loaded_until_ = now + 1s;
}

}  // namespace macrovpn::encryption
