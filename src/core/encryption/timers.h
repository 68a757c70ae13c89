// Timers of one peer (whitepaper §6).  Data only: events move deadlines, due() says what to do.
//
//   StockTimers   a configured peer: everything that the whitepaper has
//   HopTimers     a relay that we are the client of: rekey at a random 90-120 s if data was sent, retries
//
// An ephemeral peer has no timers but the age of its sessions.
#pragma once
#include "base/rng.h"
#include "base/time.h"
#include "core/encryption/session.h"

namespace macrovpn::encryption {

inline constexpr Duration kRekeyTimeout = 5s;
inline constexpr Duration kRekeyJitter = 333ms;
inline constexpr Duration kRekeyAttemptTime = 90s;
inline constexpr Duration kKeepaliveTimeout = 10s;
inline constexpr Duration kZeroKeysAfter = 3 * kRejectAfterTime;
// An initiator rekeys when it receives this late, so that the keys never run out under one-way traffic.
inline constexpr Duration kRekeyOnReceiveAfter = kRejectAfterTime - kKeepaliveTimeout - kRekeyTimeout;
inline constexpr Duration kHopRekeyEarliest = 90s;
inline constexpr Duration kHopRekeyLatest = 120s;
inline constexpr Duration kHalfOpenTime = 10s;

enum class TimerAction : uint8_t { none, retry_handshake, give_up, new_handshake, keepalive, zero_keys };
enum class Payload : uint8_t { keepalive, data };

class StockTimers {
 public:
  explicit StockTimers(Duration persistent_keepalive) : persistent_(persistent_keepalive) {}
  void on_initiation_sent(Mono now, Rng& rng);
  void on_session(Mono now);     // keys derived, either role
  void on_handshake_complete();  // response received, or first packet under new keys
  void on_sent(Mono now, Payload,
               Rng&);  // an authenticated message, handshake or transport (then also data or not)
  void on_received(Mono now, Payload);
  void on_traversal(Mono now);  // handshake or transport, either direction
  bool may_initiate(Mono now) const { return now - last_initiation_ >= kRekeyTimeout; }
  // One rekey only for packets received late in a session's life.
  bool take_last_minute();
  void restart_attempts(Mono now) { first_attempt_ = now; }
  void start_persistent(Mono now);
  // Turned on: one is due at once, as from stock devices; changed: the next one after the new interval.
  void set_persistent(Mono now, Duration interval);
  Duration persistent() const { return persistent_; }
  // Our keys changed: nothing is under way, and a handshake may start at once.
  void forget_handshake();

  TimerAction due(Mono now);  // and disarms it; call until none
  Mono next() const;

 private:
  Duration persistent_;
  Mono retry_at_ = kNever, keepalive_at_ = kNever, new_handshake_at_ = kNever, zero_at_ = kNever,
       persistent_at_ = kNever;
  bool another_keepalive_ = false;  // data came while a keepalive was due already
  bool rearm_keepalive_ = false;    // so arm it again once this one is sent
  bool last_minute_done_ = false;
  Mono last_initiation_ = kLongAgo, first_attempt_ = kLongAgo;
};

class HopTimers {
 public:
  // The first handshake is carried by whoever builds the circuit; it is given up like the others, never
  // retried.
  enum class Attempt : uint8_t { first, rekey };
  void on_initiation_sent(Mono now, Attempt, Rng& rng);
  void restart_attempts(Mono now) { first_attempt_ = now; }
  void on_session(Mono now, Rng& rng);
  // True: the session is past its rekey time and was idle then, so a handshake is due now.
  bool on_data_sent(Mono now);
  bool may_initiate(Mono now) const { return now - last_initiation_ >= kRekeyTimeout; }

  TimerAction due(Mono now);
  Mono next() const;

 private:
  Mono retry_at_ = kNever, give_up_at_ = kNever, rekey_at_ = kNever, zero_at_ = kNever;
  bool data_sent_ = false, lapsed_ = false;
  Mono last_initiation_ = kLongAgo, first_attempt_ = kLongAgo;
};

}  // namespace macrovpn::encryption
