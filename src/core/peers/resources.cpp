#include "core/peers/resources.h"

#include <algorithm>

namespace macrovpn::peers {

Resources::Resources(Bandwidth cap) : rate_(cap.bytes_per_second) {
  if (rate_ != 0) burst_ = std::max(kBurst, cost_of(kLeastBurst));
}

Duration Resources::cost_of(size_t bytes) const {
  return Duration(static_cast<int64_t>(bytes * 1'000'000'000 / rate_));
}

bool Resources::within_share(Share& share, Mono now, size_t bytes) {
  const auto window = static_cast<uint64_t>(now.time_since_epoch() / kWindow);
  if (window != window_) {
    circuits_before_ = window == window_ + 1 ? circuits_now_ : 0;
    circuits_now_ = 0;
    window_ = window;
  }
  if (share.window != window || share.bytes == 0) {
    share = {window, 0};
    circuits_now_++;
  }
  share.bytes += bytes;
  const size_t circuits = std::max({circuits_before_, circuits_now_, size_t{1}});
  return cost_of(share.bytes) <= kWindow / static_cast<int64_t>(circuits);
}

bool Resources::carry(Mono now, PeerRef circuit, size_t bytes) {
  if (bytes_ >= end_at_) {
    dropped_++;
    return false;
  }
  if (rate_ != 0) {
    if (shares_.size() >= kMaxShares && !shares_.contains(circuit)) shares_.clear();
    const bool within = within_share(shares_[circuit], now, bytes);
    const bool small = bytes <= kSmall;
    const Mono after = std::max(full_at_, now) + cost_of(bytes);
    const Duration used = after - now;
    if (used > (small ? burst_ * 5 / 4 : burst_) || (used > burst_ / 2 && !small && !within)) {
      dropped_++;
      return false;
    }
    full_at_ = after;
  }
  bytes_ += bytes;
  return true;
}

}  // namespace macrovpn::peers
