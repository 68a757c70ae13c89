// CallerKey: whom a limit counts against: an IPv4 address, an IPv6 /64 (one household), or a relay that
// proved its name.  Shares: how much of a bounded table each of them holds.
#pragma once
#include <compare>
#include <map>

#include "model/ip.h"
#include "model/keys.h"

namespace macrovpn {

struct CallerKey {
  ByteArray<21> bytes{};  // kind (4, 6 or 1) and 4, 8 or 20 bytes
  auto operator<=>(const CallerKey&) const = default;
};

inline CallerKey caller_key(const IpAddress& a) {
  CallerKey k;
  k.bytes[0] = static_cast<uint8_t>(a.family());
  std::copy_n(a.bytes().begin(), a.is_v4() ? 4 : 8, k.bytes.begin() + 1);
  return k;
}
inline CallerKey caller_key(const PeerId& relay) {
  CallerKey k;
  k.bytes[0] = 1;
  std::copy(relay.bytes.begin(), relay.bytes.end(), k.bytes.begin() + 1);
  return k;
}

inline bool is_relay(const CallerKey& k) {
  return k.bytes[0] == 1;
}

// Counts entries of one table by caller.  A caller has at most what the table says at try_add().  Shards of one node count in
// the same Shares, so that a caller gets no more from several than from one; the shell's are safe to be used by many threads.
class Shares {
 public:
  explicit Shares(size_t max_all) : max_all_(max_all) {}
  virtual ~Shares() = default;
  virtual bool try_add(const CallerKey& who, size_t max_of_caller) {
    if (all_ >= max_all_) return false;
    const auto at = of_.find(who);
    if (at != of_.end() ? at->second >= max_of_caller : max_of_caller == 0) return false;
    of_[who]++;
    all_++;
    return true;
  }
  virtual void remove(const CallerKey& who) {
    const auto at = of_.find(who);
    MV_ASSERT(at != of_.end() && at->second > 0 && all_ > 0);
    if (--at->second == 0) of_.erase(at);
    all_--;
  }
  virtual size_t all() const { return all_; }
  virtual size_t of(const CallerKey& who) const {
    const auto at = of_.find(who);
    return at == of_.end() ? 0 : at->second;
  }
  virtual size_t callers() const { return of_.size(); }

 private:
  size_t max_all_;
  size_t all_ = 0;
  std::map<CallerKey, size_t> of_;
};

}  // namespace macrovpn
