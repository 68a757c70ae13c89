// HalfOpen: how many ephemeral peers wait for their first authenticated packet: in all, per source and per
// relay. An initiation costs its sender one datagram and us a session; this bounds what strangers can make us
// hold.
#pragma once
#include <map>

#include "core/encryption/caller_key.h"

namespace macrovpn::encryption {

class HalfOpen {
 public:
  explicit HalfOpen(size_t max_all) : max_all_(max_all) {}
  bool try_add(const CallerKey& who, size_t max_of_caller) {
    if (all_ >= max_all_) return false;
    const auto at = of_.find(who);
    if (at != of_.end() ? at->second >= max_of_caller : max_of_caller == 0) return false;
    of_[who]++;
    all_++;
    return true;
  }
  void remove(const CallerKey& who) {
    const auto at = of_.find(who);
    MV_ASSERT(at != of_.end() && at->second > 0 && all_ > 0);
    if (--at->second == 0) of_.erase(at);
    all_--;
  }
  size_t all() const { return all_; }
  size_t of(const CallerKey& who) const {
    const auto at = of_.find(who);
    return at == of_.end() ? 0 : at->second;
  }

 private:
  size_t max_all_;
  size_t all_ = 0;
  std::map<CallerKey, size_t> of_;
};

}  // namespace macrovpn::encryption
