// The linker's --wrap: a call elsewhere of NAME arrives at __wrap_NAME, and __real_NAME is the product's own.
//
// The tables are filled at the start and never grow: libFuzzer runs an input twice that allocates more than it frees.
#include "key_memory.h"

#include <intel-ipsec-mb.h>

#include <optional>
#include <vector>

#include "crypto/x25519.h"

namespace macrovpn::crypto {
namespace {

using Shared = Result<Secret<32>, DhError>;

// A later pair takes the place of an earlier one.
template <class Value>
class Memory {
 public:
  template <class Make>
  const Value& get(const PrivateKey& ours, const PublicKey& theirs, Make make) {
    const uint64_t mixed = load_le64(ours.reveal().data()) ^ load_le64(&theirs.bytes[8]);
    auto& e = entries_[mixed % entries_.size()];
    if (!e || e->ours != ours || e->theirs != theirs) e.emplace(ours, theirs, make());
    return e->value;
  }

 private:
  struct Entry {
    Entry(const PrivateKey& o, const PublicKey& t, const Value& v) : ours(o), theirs(t), value(v) {}
    PrivateKey ours;
    PublicKey theirs;
    Value value;
  };
  std::vector<std::optional<Entry>> entries_{1 << 17};
};

}  // namespace

Shared real_x25519(const PrivateKey&, const PublicKey&) __asm__(
    "__real__ZN8macrovpn6crypto6x25519ERKNS_6SecretILm32EEERKNS_9PublicKeyE");
Shared wrap_x25519(const PrivateKey&, const PublicKey&) __asm__(
    "__wrap__ZN8macrovpn6crypto6x25519ERKNS_6SecretILm32EEERKNS_9PublicKeyE");
KeyPair wrap_generate(Rng&) __asm__("__wrap__ZN8macrovpn6crypto15x25519_generateERNS_3RngE");

Shared wrap_x25519(const PrivateKey& ours, const PublicKey& theirs) {
  static Memory<Shared> memory;
  return memory.get(ours, theirs, [&] { return real_x25519(ours, theirs); });
}

KeyPair wrap_generate(Rng& rng) {
  static Memory<KeyPair> memory;
  PrivateKey secret;
  rng.fill(secret.fill());
  return memory.get(secret, {}, [&] { return x25519_from_secret(secret); });
}

}  // namespace macrovpn::crypto

// A manager of libipsec-mb tests all of its ciphers as it is made, and keeps nothing from one batch to the next.
extern "C" {
IMB_MGR* __real_alloc_mb_mgr(uint64_t flags);
void __real_init_mb_mgr_auto(IMB_MGR*, IMB_ARCH*);

static IMB_ARCH the_arch = IMB_ARCH_NONE;
IMB_MGR* __wrap_alloc_mb_mgr(uint64_t flags) {
  static IMB_MGR* const the_one = [&] {
    IMB_MGR* const m = __real_alloc_mb_mgr(flags);
    if (m != nullptr) __real_init_mb_mgr_auto(m, &the_arch);
    return m;
  }();
  return the_one;
}
void __wrap_init_mb_mgr_auto(IMB_MGR*, IMB_ARCH* arch) {
  if (arch != nullptr) *arch = the_arch;
}
void __wrap_free_mb_mgr(IMB_MGR*) {}
}
