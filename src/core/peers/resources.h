// Resources: what a relay's operator lends, and how much of it was used.
//
// The rate cap is a bucket over everything that is carried for others, both directions added up.  What exceeds it is dropped, not
// delayed: a queue here would hide from both ends that the way is full.  Rules:
//   - a packet counts once, at the size it has on the side nearer to the client, with all headers;
//   - handshakes, and control frames to the relay itself, are never dropped;
//   - in the emptier half of the bucket a circuit gets no more than its share of the rate, so that one that sends as fast as it
//     can takes nothing from those that send little;
//   - small packets (acknowledgements, pings, speech) may borrow a quarter of the bucket.
//
// Of several shards each has a Resources of its own; the bucket and the amount are in a Bank that they have in common (bank.h).
#pragma once
#include <unordered_map>

#include "core/peers/bank.h"

namespace macrovpn::peers {

// Below it a relay cannot work (core/node/capacity.h).
inline constexpr uint64_t kLeastRelayMemory = 64u << 20;

class Resources {
 public:
  static constexpr Duration kBurst = 200ms;         // of the full rate; never less than kLeastBurst
  static constexpr size_t kLeastBurst = 64 * 1024;  // bytes
  static constexpr Duration kWindow = 100ms;        // over which shares are judged
  static constexpr size_t kSmall = 512;             // bytes
  static constexpr size_t kMaxShares = 4096;        // circuits remembered; then all start afresh

  static constexpr Duration kChunk = 10ms;          // of the rate: what a shard draws at once
  static constexpr size_t kLeastChunk = 64 * 1024;  // bytes, where there is no cap

  // Zero: no cap.  common: with the other shards; it outlives this.
  explicit Resources(Bandwidth cap, ShardId shard = {}, Bank* common = nullptr);
  // One packet of the circuit that came by this session.  False: over the cap; it must be dropped.
  bool carry(Mono now, PeerRef circuit, size_t bytes);
  // What is never dropped.
  void carry_always(size_t bytes) { bytes_ += bytes, always_ += bytes; }
  // Nothing more is carried once bytes(), of all shards together, has reached this.
  void end_at(uint64_t bytes) { bank_.end_at(bytes); }
  uint64_t bytes() const { return bytes_; }      // carried since the start
  uint64_t dropped() const { return dropped_; }  // packets

 private:
  struct Share {
    uint64_t window = 0;
    size_t bytes = 0;
  };
  Duration cost_of(size_t bytes) const;
  bool within_share(Share&, Mono now, size_t bytes);
  bool draw(Mono now, size_t bytes, Duration most);

  uint64_t rate_;
  Duration burst_{};
  ShardId shard_;
  size_t chunk_ = 0;  // bytes
  Bank own_bank_;
  Bank& bank_;
  size_t credit_ = 0;        // drawn and not used
  uint64_t always_ = 0;      // carried without credit, and not told yet
  Mono full_at_ = kLongAgo;  // as the bank last said, credit_ included
  uint64_t window_ = 0;
  size_t circuits_now_ = 0, circuits_before_ = 0;  // that sent in this window and in the one before
  size_t circuits_elsewhere_ = 0;
  std::unordered_map<PeerRef, Share> shares_;      // looked up only
  uint64_t bytes_ = 0, dropped_ = 0;
};

}  // namespace macrovpn::peers
