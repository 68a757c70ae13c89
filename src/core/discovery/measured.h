// Who measures whom, and what the bandwidth of each relay counts as by what relays measured of each other (bandwidth_check.h).
//
// Results ride in the measurer's own descriptor (tag 18): signed, and equal in all copies, so that everybody computes the same from the same copy
// and nobody has to be believed.  Who measures whom is a test of a pair:
//
//   M is drawn for T in a week   iff   hash(network, week, T's id and rank, M's id and rank) / 2^64  <  kExpectedMeasurers * w(M) / W(T)
//
//   w     what path choice weighs M with (core/routing/weights.h) by its claims at the week's beginning: bounded for each prefix, AS and family, so
//         that forty false relays for each honest one are not forty of forty-one measurers
//   W(T)  the sum over T's pool: whoever claims as much as T, or as the upper half of all by weight.  So he who claims more than everybody is
//         measured too, by those who come next; and whoever has a share s of all weight has 2 s of a pool at most
//   M     is of the pool, and of another prefix, AS and family than T
//
// Copies differ a little, and so do sums: who judges takes results of pairs whose hash is within kLeniency of the bound.
//
//   counts   min(claim, median of the results of this week and the last one), of three at least, the newest of each measurer
//   refused  a relay that does not let itself be measured by one who is drawn: less than any result.  If the median is that, it counts as not measured
//   else     not measured: its claim, while less than half of all (by weight) is measured; then the lower quartile of what is measured at most, so that it
//            does not pay to refuse
//
// One hash and two searches for a pair; 12 results for each of 10,000 relays are judged in about 0.1 s.
#pragma once
#include <map>
#include <span>

#include "core/discovery/bandwidth_check.h"

namespace macrovpn::discovery {

inline constexpr double kExpectedMeasurers = 6, kLeniency = 1.25;

// A result as it is published: 0 refused, 1 nothing, else (16 + m) << (e + 9) bytes per second, rounded down; 16 steps an octave.
inline constexpr uint8_t kRefusedValue = 0;
uint8_t encode_result(const std::optional<Bandwidth>&);
std::optional<Bandwidth> decode_result(uint8_t);

struct WeighedRelay {
  EntryPtr relay;  // no conviction
  uint64_t weight = 0;
};

class MeasurerDraw {
 public:
  enum class Margin : uint8_t { none, copies_differ };
  MeasurerDraw() = default;
  // Ascending by short id, as a RelaySet is.
  MeasurerDraw(const Network&, std::vector<WeighedRelay>);
  // False for who is not in it.
  bool is_drawn(const RelayEntry& measurer, const RelayEntry& target, uint32_t week, Margin margin = Margin::none) const;
  // What a relay has to claim to be of a target's pool, and the pool's weight without the target.
  struct Pool {
    Bandwidth floor;
    uint64_t weight = 0;
  };
  Pool pool_of(const RelayEntry& target) const;
  std::span<const WeighedRelay> relays() const { return relays_; }
  const RelayEntry* find(ShortId) const;

 private:
  const WeighedRelay* of(ShortId) const;
  Network network_;
  std::vector<WeighedRelay> relays_;
  std::vector<std::pair<uint64_t, uint64_t>> at_least_;  // rates ascending, and the weight of those with as much
  uint64_t all_ = 0;
};

// What relays count as.
struct BandwidthBook {
  std::map<ShortId, Bandwidth> measured;  // the medians
  std::optional<Bandwidth> bound;         // of the others, once half of all is measured
  Bandwidth counted(const RelayEntry&) const;
  bool is_measured(ShortId id) const { return measured.contains(id); }
  bool operator==(const BandwidthBook&) const = default;
};
BandwidthBook judge_bandwidths(const MeasurerDraw&, uint32_t week);
// Whether anybody says anything; else there is nothing to judge.
bool has_results(std::span<const EntryPtr>);

// That the relay whose id a MEASURE names says it, in this session.
struct MeasureAsk {
  NetworkId network;
  PeerId target;
  uint32_t week = 0;
  Bandwidth rate;
  ByteArray<32> handshake_hash{};
};
crypto::Signature sign_measure(const crypto::SigningKey&, const MeasureAsk&);
bool verify_measure(const IdentityKey&, const crypto::Signature&, const MeasureAsk&);

}  // namespace macrovpn::discovery
