#include "core/routing/lease_table.h"

#include <algorithm>
#include <bit>

namespace macrovpn::routing {

LeaseNumbers numbers_of(const ShardPlace& p) {
  const uint32_t span = (1u << 22) / static_cast<uint32_t>(std::bit_ceil(p.shards));
  const uint32_t base = p.shard.value * span;
  return {base + 1, base + span - 2};
}

LeaseTable::Lease* LeaseTable::find(const LeaseId& id) {
  const auto it = leases_.find(id);
  return it == leases_.end() ? nullptr : &it->second;
}

Result<void, ErrorCode> LeaseTable::request(PeerRef session, const CallerKey& caller, const LeaseFrame& frame,
                                            const crypto::Hash32& h1) {
  Pending p{frame, caller, {}, ++requests_};
  if ((frame.flags & kLeaseResume) != 0) {
    Lease* lease = find(frame.id);
    if (lease == nullptr) return Failure{ErrorCode::no_such_lease};
    const auto made_with = [&](const Secret<32>& secret) {
      return equal_constant_time(resume_mac(secret, network_, h1), frame.resume_mac);
    };
    if (made_with(lease->secret)) {
      p.used = lease->secret;
    } else if (lease->previous && made_with(*lease->previous)) {
      p.used = lease->previous;
    } else {
      return Failure{ErrorCode::no_such_lease};
    }
  } else if (leases_.size() >= limits_.leases || shares_.of(caller) >= share_of(caller)) {
    return Failure{ErrorCode::full};
  }
  drop_pending(session);
  if (!waiting_.try_add(caller, share_of(caller))) return Failure{ErrorCode::full};
  pending_.emplace(session, p);
  return {};
}

void LeaseTable::drop_pending(PeerRef session) {
  const auto it = pending_.find(session);
  if (it == pending_.end()) return;
  waiting_.remove(it->second.caller);
  pending_.erase(it);
}

LeaseNumber LeaseTable::free_number() {
  // Numbers are handed out in a ring, as large as the private address space (address_rewrite.h), so that a new lease
  // does not inherit the connections of a recent one: a kernel keeps those for days.
  do last_number_ = last_number_ >= numbers_range_.last ? numbers_range_.first : last_number_ + 1;
  while (numbers_.contains({last_number_}));
  return {last_number_};
}

std::optional<Result<LeaseTable::Taken, ErrorCode>> LeaseTable::confirmed(Mono now, PeerRef session) {
  const auto it = pending_.find(session);
  if (it == pending_.end()) return std::nullopt;
  const Pending p = it->second;
  drop_pending(session);
  LeaseId id = p.frame.id;
  if (p.used) {
    Lease* lease = find(id);
    if (lease == nullptr || !(lease->secret == *p.used || lease->previous == p.used)) {
      return Failure{ErrorCode::no_such_lease};
    }
    // A circuit that its client gave up for the one that has the lease now: its first packets were slow.  Who still wants it asks again.
    if (p.number < lease->asked) return std::nullopt;
    lease->previous = p.used;
    return take(now, session, id, *lease, p);
  }
  if (!shares_.try_add(p.caller, share_of(p.caller))) return Failure{ErrorCode::full};
  do {
    rng_.fill(id);
    if (place_.shards > 1) id[0] = static_cast<uint8_t>(place_.shard.value << (8 - kShardBits) | id[0] >> kShardBits);
  } while (leases_.contains(id));
  Lease& lease = leases_[id];
  lease.number = free_number();
  lease.caller = p.caller;
  numbers_[lease.number] = id;
  return take(now, session, id, lease, p);
}

LeaseTable::Taken LeaseTable::take(Mono now, PeerRef session, const LeaseId& id, Lease& lease, const Pending& by) {
  if (const auto held = sessions_.find(session); held != sessions_.end() && held->second != id)
    detach(now, session);
  Taken out;
  std::erase(lease.sessions, session);
  out.moved_from = lease.sessions;
  if (lease.sessions.size() >= kSessionsPerLease) {
    sessions_.erase(lease.sessions.front());
    lease.sessions.erase(lease.sessions.begin());
  }
  lease.sessions.push_back(session);
  sessions_[session] = id;
  set_death(id, lease, kNever);
  rng_.fill(lease.secret.fill());
  lease.mtu = by.frame.mtu;
  lease.asked = by.number;
  out.number = lease.number;
  out.id = id;
  out.secret = lease.secret;
  out.mtu = lease.mtu;
  return out;
}

std::optional<LeaseTable::Taken> LeaseTable::granted(PeerRef session) const {
  const auto it = sessions_.find(session);
  if (it == sessions_.end()) return std::nullopt;
  const Lease& lease = leases_.at(it->second);
  return Taken{lease.number, it->second, lease.secret, lease.mtu, {}};
}

LeaseNumber LeaseTable::lease_of(PeerRef session) const {
  const auto it = sessions_.find(session);
  return it == sessions_.end() ? LeaseNumber{} : leases_.at(it->second).number;
}

PeerRef LeaseTable::session_of(LeaseNumber number) const {
  const auto it = numbers_.find(number);
  if (it == numbers_.end()) return {};
  const Lease& lease = leases_.at(it->second);
  return lease.sessions.empty() ? PeerRef{} : lease.sessions.back();
}

uint16_t LeaseTable::mtu_of(LeaseNumber number) const {
  const auto it = numbers_.find(number);
  return it == numbers_.end() ? 0 : leases_.at(it->second).mtu;
}

bool LeaseTable::set_mtu(PeerRef session, uint16_t mtu) {
  const auto it = sessions_.find(session);
  if (it == sessions_.end()) return false;
  Lease& lease = leases_.at(it->second);
  if (lease.sessions.back() != session || lease.mtu == mtu) return false;
  lease.mtu = mtu;
  return true;
}

void LeaseTable::set_death(const LeaseId& id, Lease& lease, Mono when) {
  if (lease.dies != kNever) {
    const auto [first, last] = dying_.equal_range(lease.dies);
    dying_.erase(std::find_if(first, last, [&](const auto& e) { return e.second == id; }));
  }
  lease.dies = when;
  if (when != kNever) dying_.emplace(when, id);
}

void LeaseTable::detach(Mono now, PeerRef session) {
  const auto it = sessions_.find(session);
  if (it == sessions_.end()) return;
  const LeaseId id = it->second;
  sessions_.erase(it);
  Lease& lease = leases_.at(id);
  std::erase(lease.sessions, session);
  if (lease.sessions.empty()) set_death(id, lease, now + kLeaseAfterlife);
}

void LeaseTable::session_gone(Mono now, PeerRef session) {
  drop_pending(session);
  detach(now, session);
}

void LeaseTable::forget(const LeaseId& id) {
  Lease& lease = leases_.at(id);
  for (const PeerRef s : lease.sessions) sessions_.erase(s);
  set_death(id, lease, kNever);
  numbers_.erase(lease.number);
  shares_.remove(lease.caller);
  leases_.erase(id);
}

void LeaseTable::release(Mono now, PeerRef session, const LeaseId& id) {
  const auto it = sessions_.find(session);
  if (it == sessions_.end() || it->second != id) return;
  for (const PeerRef s : std::vector<PeerRef>(leases_.at(id).sessions)) detach(now, s);
  Lease& lease = leases_.at(id);
  set_death(id, lease, now);  // expire() reports it with the others
}

void LeaseTable::close_all(Mono now) {
  std::vector<PeerRef> all;
  for (const auto& [session, request] : pending_) all.push_back(session);
  for (const auto& [session, id] : sessions_) all.push_back(session);
  for (const PeerRef session : all) session_gone(now, session);
  for (auto& [id, lease] : leases_) set_death(id, lease, now);
}

void LeaseTable::expire(Mono now, std::vector<LeaseNumber>& forgotten) {
  while (!dying_.empty() && dying_.begin()->first <= now) {
    const LeaseId id = dying_.begin()->second;
    forgotten.push_back(leases_.at(id).number);
    forget(id);
  }
}

void LeaseTable::check_invariants() const {
  MV_ASSERT(leases_.size() <= limits_.leases && pending_.size() <= limits_.pending);
  MV_ASSERT(numbers_.size() == leases_.size() && (&shares_ != &own_shares_ || shares_.all() == leases_.size()));
  MV_ASSERT(&waiting_ != &own_waiting_ || waiting_.all() == pending_.size());
  size_t held = 0;
  for (const auto& [id, lease] : leases_) {
    MV_ASSERT(numbers_.at(lease.number) == id);
    MV_ASSERT(lease.sessions.size() <= kSessionsPerLease);
    MV_ASSERT(lease.sessions.empty() == (lease.dies != kNever));
    for (const PeerRef s : lease.sessions) MV_ASSERT(sessions_.at(s) == id);
    held += lease.sessions.size();
  }
  MV_ASSERT(held == sessions_.size());
}

}  // namespace macrovpn::routing
