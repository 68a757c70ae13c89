// Told by the core itself just before it seals (encryption/common.h): the counter of a key rises with each message, in the whole
// world and for the whole run.  A key that two hosts seal with would be found too.
#include <unordered_map>

#include "sim/check/checker.h"

namespace macrovpn::sim {
namespace {

class Nonce final : public Checker {
 public:
  const char* name() const override { return "nonce"; }
  const char* promise() const override { return "no two messages are sealed with the same key and counter"; }
  std::string looked_at() const override {
    return std::to_string(sealed_) + " messages sealed with " + std::to_string(last_.size()) + " keys";
  }

  void seals(World& w, const Host& h, const Secret<32>& key, uint64_t counter) override {
    sealed_++;
    // Eight bytes of a key that is as good as random tell it from all others.
    const auto [at, is_new] = last_.try_emplace(load_le64(key.reveal().data()), Last{h.id, counter});
    if (is_new) return;
    if (at->second.host == h.id && counter > at->second.counter) {
      at->second.counter = counter;
      return;
    }
    broken(w, h.name + " sealed with counter " + std::to_string(counter) + " after " + w.host(at->second.host).name +
                  " had used " + std::to_string(at->second.counter) + " of the same key",
           {h.id});
  }

 private:
  struct Last {
    HostId host;
    uint64_t counter;
  };
  std::unordered_map<uint64_t, Last> last_;
  uint64_t sealed_ = 0;
};

}  // namespace

std::unique_ptr<Checker> make_nonce_checker() { return std::make_unique<Nonce>(); }

}  // namespace macrovpn::sim
