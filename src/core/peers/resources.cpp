#include "core/peers/resources.h"

#include <algorithm>
#include <utility>

namespace macrovpn::peers {

Resources::Resources(Bandwidth cap, ShardId shard, Bank* common)
    : rate_(cap.bytes_per_second), shard_(shard), own_bank_(cap), bank_(common ? *common : own_bank_) {
  if (rate_ != 0) burst_ = std::max(kBurst, cost_of(kLeastBurst));
  if (rate_ == 0) {
    chunk_ = kLeastChunk;
  } else if (common != nullptr) {
    chunk_ = static_cast<size_t>(rate_ * static_cast<uint64_t>(kChunk / 1ms) / 1000);
  }
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
  const size_t circuits = std::max({circuits_before_, circuits_now_, size_t{1}}) + circuits_elsewhere_;
  return cost_of(share.bytes) <= kWindow / static_cast<int64_t>(circuits);
}

bool Resources::draw(Mono now, size_t bytes, Duration most) {
  const Bank::Answer a = bank_.draw(now, {.shard = shard_,
                                          .always = std::exchange(always_, 0),
                                          .needed = bytes,
                                          .wanted = chunk_,
                                          .most = most,
                                          .window = window_,
                                          .circuits = std::max(circuits_before_, circuits_now_)});
  full_at_ = a.full_at;
  circuits_elsewhere_ = a.circuits;
  credit_ += a.bytes;
  return a.bytes != 0;
}

bool Resources::carry(Mono now, PeerRef circuit, size_t bytes) {
  Duration most = Duration::max();
  if (rate_ != 0) {
    if (shares_.size() >= kMaxShares && !shares_.contains(circuit)) shares_.clear();
    const bool within = within_share(shares_[circuit], now, bytes);
    most = bytes <= kSmall ? burst_ * 5 / 4 : within ? burst_ : burst_ / 2;
    // What this shard knows of the bucket may be old, but not older than what it has drawn lasts.
    const Duration used = std::max(full_at_, now) - now + cost_of(bytes) - cost_of(credit_);
    if (credit_ >= bytes && used > most) {
      dropped_++;
      return false;
    }
  }
  if (credit_ < bytes && !draw(now, bytes - credit_, most)) {
    dropped_++;
    return false;
  }
  credit_ -= bytes;
  bytes_ += bytes;
  return true;
}

}  // namespace macrovpn::peers
