// The asker's side of the one-hop DHT: one get, one put, and what an owner keeps alive.
//
// Without I/O.  Each says whom to ask what (DhtOut); the driver carries it to the relay over a session of ours (a client's through a circuit, so
// that holders learn nothing of who asks) and brings back what came.
//
// A get asks the 12 relays closest to the key at once and takes the valid record of the highest seq among all that came within
// kDhtWave: who answers first may serve what is old.  Where nothing valid came, the next 12 are asked too, and yesterday's key.  A put counts the
// holders that said "stored"; with fewer than 6 it goes on to the next 12, where a get that finds nothing looks next.  Where there are
// fewer than 12 relays, half of them are as good as 6.
#pragma once
#include <map>
#include <string>

#include "core/discovery/dht_message.h"

namespace macrovpn::discovery {

inline constexpr Duration kDhtWave = std::chrono::seconds(3);
inline constexpr size_t kMaxDhtKept = 64;
inline constexpr Duration kDhtToldAgain = std::chrono::hours(6), kDhtMovesLooked = std::chrono::minutes(10);

struct DhtAsk {
  PeerId relay;
  DhtKind kind;
  std::vector<uint8_t> body;
};
struct DhtOut {
  std::vector<DhtAsk> asks;
};

// A question to a relay, of which wave, and whether an answer came or cannot come.
struct DhtAsked {
  unsigned wave = 0;
  bool back = false;
  bool answered = false;
};

class DhtGet {
 public:
  // `number`: of two that nobody else's requests to the same relays have now; it takes number + 1 too.
  DhtGet(const Network&, DhtService, const IdentityKey& owner, const DhtName&, uint32_t number);
  void start(const Now&, const DhtPlaces&, DhtOut&);
  void on_found(const Now&, const PeerId& from, Bytes body, const DhtPlaces&, DhtOut&);
  void on_failed(const Now&, const PeerId& relay, const DhtPlaces&, DhtOut&);  // it cannot be reached
  void on_deadline(const Now&, const DhtPlaces&, DhtOut&);
  Mono next_deadline() const { return is_done() ? kNever : wave_ends_; }
  bool is_done() const { return wave_ == kWaves; }
  const std::optional<DhtRecord>& result() const { return best_; }  // once done
  size_t asked() const { return asked_.size(); }  // questions
  size_t relays_asked() const;
  size_t relays_answered() const;
  uint32_t number() const { return number_; }

 private:
  static constexpr unsigned kWaves = 2;
  struct Question {
    PeerId relay;
    uint32_t number;
    auto operator<=>(const Question&) const = default;
  };
  void ask(const DhtSlot&, uint32_t number, size_t skip, const DhtPlaces&, DhtOut&);
  void next_wave(const Now&, const DhtPlaces&, DhtOut&);
  void go_on(const Now&, const DhtPlaces&, DhtOut&);

  Network network_;
  DhtSlot slot_;
  uint32_t number_;
  unsigned wave_ = 0;
  Mono wave_ends_ = kNever;
  std::map<Question, DhtAsked> asked_;
  size_t open_ = 0;
  std::optional<DhtRecord> best_;
};

class DhtPutOperation {
 public:
  DhtPutOperation(std::vector<uint8_t> record, const DhtKey&, uint32_t number);
  // For these alone, whatever comes of it.
  DhtPutOperation(std::vector<uint8_t> record, const DhtKey&, uint32_t number, std::vector<PeerId> only);
  void start(const Now&, const DhtPlaces&, DhtOut&);
  void on_stored(const Now&, const PeerId& from, Bytes body, const DhtPlaces&, DhtOut&);
  void on_failed(const Now&, const PeerId& relay, const DhtPlaces&, DhtOut&);
  void on_deadline(const Now&, const DhtPlaces&, DhtOut&);
  Mono next_deadline() const { return is_done() ? kNever : wave_ends_; }
  bool is_done() const { return wave_ == kWaves; }
  size_t asked() const { return asked_.size(); }
  size_t answered() const;
  size_t stored() const { return stored_; }
  size_t older() const { return older_; }  // that have a newer one
  bool succeeded() const { return stored_ >= wanted_; }
  std::vector<PeerId> lacking() const;  // were asked, and did not say that they have it
  const DhtKey& key() const { return key_; }
  uint32_t number() const { return number_; }

 private:
  static constexpr unsigned kWaves = 2;
  struct Asked : DhtAsked {
    bool stored = false;
  };
  void ask(const std::vector<PeerId>&, DhtOut&);
  void go_on(const Now&, const DhtPlaces&, DhtOut&);

  std::vector<uint8_t> record_;
  DhtKey key_;
  uint32_t number_;
  unsigned wave_ = 0;
  Mono wave_ends_ = kNever;
  std::map<PeerId, Asked> asked_;
  std::optional<std::vector<PeerId>> only_;
  size_t wanted_ = kAcksWanted;
  size_t open_ = 0, stored_ = 0, older_ = 0;
};

// What an owner keeps with its holders until it says otherwise: signed anew, told to relays that became holders as the directory changed, under
// tomorrow's key in the last hour of a day, and to all of them every 6 hours, since holders forget when they start again.
class DhtKeeper {
 public:
  DhtKeeper(const Network& network, const crypto::SigningKey& key) : network_(network), key_(key) {}
  // False: kMaxDhtKept are there, or the value is too large.  Nothing is told before the next deadline, which is now; then all holders
  // are.  No record of it outlives `until`.
  bool keep(DhtService, const DhtName&, std::vector<uint8_t> value, Wall until = Wall::max());
  void forget(DhtService, const DhtName&);
  // It was told to this one in vain, and is again at the next look.
  void missed(const DhtKey&, const PeerId&);
  // Records to put, one after the other; the caller makes operations of them.
  struct Due {
    std::vector<uint8_t> record;
    DhtKey key;
    std::vector<PeerId> relays;  // those that do not have it
  };
  std::vector<Due> due(const Now&, const DhtPlaces&);
  const IdentityKey& owner() const { return key_.pub; }
  Mono next_deadline() const { return kept_.empty() ? kNever : look_at_; }
  size_t size() const { return kept_.size(); }

 private:
  struct Kept {
    std::vector<uint8_t> value;
    Wall until = Wall::max();
    uint64_t seq = 0;
    std::map<DhtKey, std::map<PeerId, Mono>> told;
  };
  Due due_of(const Now&, const DhtPlaces&, const DhtSlot&, Kept&);
  Network network_;
  crypto::SigningKey key_;
  std::map<std::pair<uint8_t, DhtName>, Kept> kept_;
  Mono look_at_ = kLongAgo;
};

}  // namespace macrovpn::discovery
