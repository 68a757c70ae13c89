// Resources: what a relay's operator lends, and how much of it was used.
//
// The rate cap is a bucket over everything that is carried for others, both directions added up.  What exceeds it is dropped, not
// delayed: a queue here would hide from both ends that the way is full.  Rules:
//   - a packet counts once, at the size it has on the side nearer to the client, with all headers;
//   - handshakes, and control frames to the relay itself, are never dropped;
//   - in the emptier half of the bucket a circuit gets no more than its share of the rate, so that one that sends as fast as it
//     can takes nothing from those that send little;
//   - small packets (acknowledgements, pings, speech) may borrow a quarter of the bucket.
#pragma once
#include <unordered_map>

#include "base/time.h"
#include "model/ids.h"
#include "model/relay.h"

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

  // Zero: no cap.
  explicit Resources(Bandwidth cap);
  // One packet of the circuit that came by this session.  False: over the cap; it must be dropped.
  bool carry(Mono now, PeerRef circuit, size_t bytes);
  // What is never dropped.
  void carry_always(size_t bytes) { bytes_ += bytes; }
  // Nothing more is carried once bytes() has reached this.
  void end_at(uint64_t bytes) { end_at_ = bytes; }
  uint64_t bytes() const { return bytes_; }      // carried since the start
  uint64_t dropped() const { return dropped_; }  // packets

 private:
  struct Share {
    uint64_t window = 0;
    size_t bytes = 0;
  };
  Duration cost_of(size_t bytes) const;
  bool within_share(Share&, Mono now, size_t bytes);

  uint64_t rate_;
  Duration burst_{};
  Mono full_at_ = kLongAgo;  // when the bucket will have refilled (GCRA, ITU-T I.371)
  uint64_t window_ = 0;
  size_t circuits_now_ = 0, circuits_before_ = 0;  // that sent in this window and in the one before
  std::unordered_map<PeerRef, Share> shares_;      // looked up only
  uint64_t bytes_ = 0, dropped_ = 0, end_at_ = UINT64_MAX;
};

}  // namespace macrovpn::peers
