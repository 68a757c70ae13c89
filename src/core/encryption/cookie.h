// mac1, mac2 and cookie replies (whitepaper §5.3, §5.4.4, §5.4.7): a responder under load makes an initiator
// prove its address and port before it spends a Diffie-Hellman on it.
//
//   message:       ... | mac1 16 | mac2 16      mac1 = MAC(HASH("mac1----" ‖ receiver), all before it)
//                                               mac2 = MAC(cookie, all before it), or zero without a cookie
//   cookie reply:  type 4 | receiver 4 | nonce 24 | sealed cookie 32
//   cookie         = MAC(secret of ours, address ‖ port BE); the secret changes every 120 s
//
// A cookie reply says to its reader only that we are loaded; the address in it is the reader's own.
#pragma once
#include <optional>

#include "base/rng.h"
#include "base/time.h"
#include "core/encryption/messages.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "model/ip.h"
#include "model/keys.h"

namespace macrovpn::encryption {

inline constexpr Duration kCookieLifetime = 120s;
inline constexpr size_t kMacSize = 16;

struct Cookie {
  crypto::Mac16 value{};
  Mono received = kLongAgo;
  bool usable(Mono now) const { return now - received < kCookieLifetime; }
};

// Fills mac1 for `receiver`, and mac2 if a usable cookie of it is given; returns mac1 (a cookie reply is
// bound to it).
crypto::Mac16 write_macs(MutBytes message, const PublicKey& receiver, const Cookie* usable_cookie);

// The called side.
class CookieChecker {
 public:
  CookieChecker(const PublicKey& self, Rng& rng);
  void set_self(const PublicKey&);  // cookies that were given out stay good
  bool check_mac1(Bytes message) const;
  // Whether mac2 was made with a cookie that we gave to this very address and port.
  bool check_mac2(Mono now, Bytes message, const Endpoint& source);
  ByteArray<kCookieReplySize> reply(Mono now, Bytes to_message, const Endpoint& source);

 private:
  crypto::Mac16 cookie_of(Mono now, const Endpoint& source);
  crypto::Hash32 mac1_key_;
  Secret<32> cookie_key_;
  Rng& rng_;
  Secret<32> secret_;
  Mono secret_made_ = kLongAgo;
};

// The calling side: opens a reply to the message whose mac1 was `sent_mac1`, from the peer `called`.
std::optional<crypto::Mac16> open_cookie_reply(Bytes reply, const PublicKey& called,
                                               const crypto::Mac16& sent_mac1);

// Under load: more than `threshold` initiations came within one second; lasts for one second more.
class LoadMeter {
 public:
  explicit LoadMeter(unsigned threshold) : threshold_(threshold) {}
  void count(Mono now);
  bool loaded(Mono now) const { return now < loaded_until_; }

 private:
  unsigned threshold_;
  unsigned count_ = 0;
  Mono window_ = kLongAgo;
  Mono loaded_until_ = kLongAgo;
};

}  // namespace macrovpn::encryption
