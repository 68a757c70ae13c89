// LeaseTable: what an exit remembers of its clients, each only as a lease.
//
// A lease is a place in the exit's address space (its number), held by whoever knows its secret, so that
// connections outlive the circuit they came in by.  Rules:
//   - asked for in a session's early data or a LEASE frame; takes effect when that session is confirmed by a
//   packet
//     (an initiation can be replayed, a confirmed session cannot);
//   - a resume must carry a MAC over H1 of its own handshake, under the lease's present secret, or under the
//     one that the latest resume used: its answer with the new one may be lost.  Taking effect draws a new
//     secret.  A replayed resume is never confirmed, so it does nothing;
//   - two sessions at most hold a lease; a third takes the place of the older;
//   - forgotten 120 s after its last session went;
//   - it is charged for life to whoever the session came from in which it was made, so that no source fills the table.
#pragma once
#include <map>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "base/time.h"
#include "core/routing/frames.h"
#include "model/caller_key.h"

namespace macrovpn::routing {

using LeaseNumber = Strong<struct LeaseNumberTag, uint32_t>;  // 1 ...; picks the private address at the exit

// Which shard of how many a table is of: with several, each has a part of the numbers, and writes its own into the highest bits of
// the ids that it draws.
struct ShardPlace {
  ShardId shard{0};
  size_t shards = 1;
};
constexpr ShardId shard_of(const LeaseId& id) {
  return {static_cast<uint8_t>(id[0] >> (8 - kShardBits))};
}

inline constexpr uint32_t kMaxLeaseNumber =
    (1u << 22) - 2;  // what 100.64.0.0/10 holds, without its broadcast address (address_rewrite.h)
// The numbers of a shard, both ends included: a power of two of addresses, without the first and the last.
struct LeaseNumbers {
  uint32_t first, last;
};
LeaseNumbers numbers_of(const ShardPlace&);

inline constexpr Duration kLeaseAfterlife = 120s;
inline constexpr size_t kSessionsPerLease = 2;

struct LeaseLimits {
  size_t leases = 16'384;
  size_t pending = 16'384;
  size_t per_source = 512;   // leases, and requests that wait: of one IPv4 address or IPv6 /64
  size_t per_relay = 8'192;  // of the relay before us: it carries many clients
};

// Of all shards, counted together; none: a table that is alone.
struct LeaseShares {
  Shares* leases = nullptr;
  Shares* pending = nullptr;
};

class LeaseTable {
 public:
  LeaseTable(Rng& rng, const NetworkId& network, const LeaseLimits& limits = {}, const ShardPlace& place = {},
             const LeaseShares& common = {})
      : rng_(rng),
        network_(network),
        limits_(limits),
        place_(place),
        numbers_range_(numbers_of(place)),
        own_shares_(limits.leases),
        own_waiting_(limits.pending),
        shares_(common.leases ? *common.leases : own_shares_),
        waiting_(common.pending ? *common.pending : own_waiting_),
        last_number_(numbers_range_.last) {}

  // A session asks; nothing happens yet but the check.  full, or no_such_lease (unknown id or wrong MAC).
  Result<void, ErrorCode> request(PeerRef session, const CallerKey& caller, const LeaseFrame&,
                                  const crypto::Hash32& h1);
  struct Taken {
    LeaseNumber number;
    LeaseId id{};
    Secret<32> secret;
    uint16_t mtu = 0;
    std::vector<PeerRef> moved_from;  // older sessions of the same lease: to be told MOVED
  };
  void cancel(PeerRef session) { drop_pending(session); }  // what it asked for; what it holds stays
  // The session was confirmed: its request, if any, takes effect; unless who asked later has the lease already.
  std::optional<Result<Taken, ErrorCode>> confirmed(Mono now, PeerRef session);

  // What the session already holds, with the present secret: for a client that lost the answer.
  std::optional<Taken> granted(PeerRef session) const;
  LeaseNumber lease_of(PeerRef session) const;  // 0: none
  PeerRef session_of(LeaseNumber) const;        // the newest; nobody if none is left
  uint16_t mtu_of(LeaseNumber) const;
  // False if it is that already, or if the session is not the newest that holds the lease: the packets go elsewhere.
  bool set_mtu(PeerRef session, uint16_t mtu);
  void release(Mono now, PeerRef session, const LeaseId&);  // by its holder: forgotten at once
  void session_gone(Mono now, PeerRef session);
  // All at once; expire() tells which.
  void close_all(Mono now);
  void expire(Mono now, std::vector<LeaseNumber>& forgotten);
  Mono next_deadline() const { return dying_.empty() ? kNever : dying_.begin()->first; }
  size_t size() const { return leases_.size(); }
  void check_invariants() const;

 private:
  struct Lease {
    LeaseNumber number;
    CallerKey caller;  // of the first session
    Secret<32> secret;
    std::optional<Secret<32>> previous;  // what the latest resume used
    uint16_t mtu = 0;
    std::vector<PeerRef> sessions;  // oldest first, at most kSessionsPerLease
    uint64_t asked = 0;             // Pending::number of who took it last
    Mono dies = kNever;
  };
  struct Pending {
    LeaseFrame frame;
    CallerKey caller;
    std::optional<Secret<32>> used;  // resume: the secret that the MAC was made with
    uint64_t number = 0;
  };
  LeaseNumber free_number();
  Lease* find(const LeaseId&);
  Taken take(Mono now, PeerRef session, const LeaseId&, Lease&, const Pending&);
  void detach(Mono now, PeerRef session);
  void set_death(const LeaseId&, Lease&, Mono when);
  void forget(const LeaseId&);

  size_t share_of(const CallerKey& c) const { return is_relay(c) ? limits_.per_relay : limits_.per_source; }
  void drop_pending(PeerRef session);

  Rng& rng_;
  NetworkId network_;
  LeaseLimits limits_;
  ShardPlace place_;
  LeaseNumbers numbers_range_;
  Shares own_shares_, own_waiting_;
  Shares &shares_, &waiting_;
  std::map<LeaseId, Lease> leases_;
  std::map<LeaseNumber, LeaseId> numbers_;
  std::map<PeerRef, LeaseId> sessions_;
  std::map<PeerRef, Pending> pending_;
  std::multimap<Mono, LeaseId> dying_;
  uint32_t last_number_;
  uint64_t requests_ = 0;
};

}  // namespace macrovpn::routing
