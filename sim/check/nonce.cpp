// Told by the core itself just before it seals (encryption/seal_witness.h).  The counter of a session's key rises with each message, in the
// whole world and for the whole run.  A key of a handshake or of early data seals one thing, under counter 0, and nothing ever again.  A key
// that two hosts seal with is found, too.
#include <unordered_map>

#include "sim/check/checker.h"

namespace macrovpn::sim {
namespace {

class Nonce final : public Checker {
 public:
  const char* name() const override { return "nonce"; }
  const char* promise() const override { return "no two messages are sealed with the same key and counter"; }
  std::string looked_at() const override {
    return std::to_string(sealed_) + " messages and " + std::to_string(once_) + " parts of handshakes sealed with " +
           std::to_string(last_.size()) + " keys";
  }

  void seals(World& w, const Host& h, const Secret<32>& key, uint64_t counter) override {
    sealed_++;
    const auto [at, is_new] = last_.try_emplace(name_of(key), Last{h.id, counter});
    if (is_new) return;
    if (at->second.host == h.id && counter > at->second.counter) {
      at->second.counter = counter;
      return;
    }
    broken(w, h.name + " sealed with counter " + std::to_string(counter) + " after " + w.host(at->second.host).name +
                  " had used " + std::to_string(at->second.counter) + " of the same key",
           {h.id});
  }

  void seals_once(World& w, const Host& h, const Secret<32>& key) override {
    once_++;
    const auto [at, is_new] = last_.try_emplace(name_of(key), Last{h.id, UINT64_MAX});
    if (is_new) return;
    broken(w, h.name + " sealed a part of a handshake with a key that " + w.host(at->second.host).name + " had used before", {h.id});
  }

 private:
  // Eight bytes of a key that is as good as random tell it from all others.
  static uint64_t name_of(const Secret<32>& key) { return load_le64(key.reveal().data()); }
  struct Last {
    HostId host;
    uint64_t counter;  // the largest: none may follow
  };
  std::unordered_map<uint64_t, Last> last_;
  uint64_t sealed_ = 0, once_ = 0;
};

}  // namespace

std::unique_ptr<Checker> make_nonce_checker() { return std::make_unique<Nonce>(); }

}  // namespace macrovpn::sim
