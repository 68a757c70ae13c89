// Commons: what the shards of one node have in common.  It is asked for when somebody calls, when a leg or a lease is made and,
// where there is a rate, for every chunk of credit; never for a packet.
//
// A node of one shard needs none.  PlainCommons is for shards that one thread drives (tests, the simulator); the shell's own
// (shell/workers/locked_commons.h) for those that many do.
#pragma once
#include "core/encryption/common.h"
#include "core/node/trailer_numbers.h"
#include "core/peers/bank.h"
#include "core/routing/lease_table.h"
#include "core/routing/leg_table.h"

namespace macrovpn::node {

struct Commons {  // outlive the shards
  encryption::Common callers;
  Shares* legs = nullptr;
  routing::LeaseShares leases;
  TrailerNumbers* numbers = nullptr;
  peers::Bank* bank = nullptr;
};

// Which kinds to use is the template's choice: all derive from the plain ones.
template <class SharesT, class EarlyT, class CallersT, class NumbersT, class BankT>
class CommonsOf {
 public:
  struct Limits {
    size_t strangers, half_open, legs, leases, pending;
    Bandwidth cap;
  };
  CommonsOf(const Limits& l, Rng& rng)
      : strangers_(l.strangers),
        half_open_(l.half_open),
        legs_(l.legs),
        leases_(l.leases),
        pending_(l.pending),
        early_(rng),
        bank_(l.cap) {}
  Commons get() {
    return {{&strangers_, &half_open_, &early_, &callers_}, &legs_, {&leases_, &pending_}, &numbers_, &bank_};
  }
  const CallersT& callers() const { return callers_; }

 private:
  SharesT strangers_, half_open_, legs_, leases_, pending_;
  EarlyT early_;
  CallersT callers_;
  NumbersT numbers_;
  BankT bank_;
};
using PlainCommons =
    CommonsOf<Shares, encryption::EarlyStore, encryption::Callers, TrailerNumbers, peers::Bank>;

}  // namespace macrovpn::node
