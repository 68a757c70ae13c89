// LockedCommons: core/node/commons.h for shards that threads of their own drive: each thing with a lock of its own, held for a look
// into a table.
#pragma once
#include <mutex>

#include "core/node/commons.h"

namespace macrovpn::shell {

class Lockable {
 protected:
  auto locked(const auto& f) const {
    const std::lock_guard guard(mutex_);
    return f();
  }

 private:
  mutable std::mutex mutex_;
};

class LockedShares final : public Shares, Lockable {
 public:
  using Shares::Shares;
  bool try_add(const CallerKey& who, size_t most) override { return locked([&] { return Shares::try_add(who, most); }); }
  void remove(const CallerKey& who) override { locked([&] { Shares::remove(who); }); }
  size_t all() const override { return locked([&] { return Shares::all(); }); }
  size_t of(const CallerKey& who) const override { return locked([&] { return Shares::of(who); }); }
  size_t callers() const override { return locked([&] { return Shares::callers(); }); }
};

class LockedEarlyStore final : public encryption::EarlyStore, Lockable {
 public:
  using encryption::EarlyStore::EarlyStore;
  PublicKey renew(Now now) override { return locked([&] { return EarlyStore::renew(now); }); }
  std::vector<encryption::Prekey> prekeys(Now now) override { return locked([&] { return EarlyStore::prekeys(now); }); }
  encryption::Drop add(Mono now, const PublicKey& ephemeral, const CallerKey& who, size_t share) override {
    return locked([&] { return EarlyStore::add(now, ephemeral, who, share); });
  }
  void expire(Now now) override { locked([&] { EarlyStore::expire(now); }); }
  Mono next_deadline() const override { return locked([&] { return EarlyStore::next_deadline(); }); }
};

class LockedCallers final : public encryption::Callers, Lockable {
 public:
  ShardId claim(const PublicKey& key, ShardId shard) override { return locked([&] { return Callers::claim(key, shard); }); }
  void release(const PublicKey& key, ShardId shard) override { locked([&] { Callers::release(key, shard); }); }
  size_t size() const override { return locked([&] { return Callers::size(); }); }
};

class LockedTrailerNumbers final : public node::TrailerNumbers, Lockable {
 public:
  uint64_t next(const PublicKey& to, Wall now) override { return locked([&] { return TrailerNumbers::next(to, now); }); }
  bool accept(const PublicKey& from, uint64_t number, Wall now) override {
    return locked([&] { return TrailerNumbers::accept(from, number, now); });
  }
  void sweep(const std::function<bool(const PublicKey&)>& keep) override { locked([&] { TrailerNumbers::sweep(keep); }); }
  size_t size() const override { return locked([&] { return TrailerNumbers::size(); }); }
};

class LockedBank final : public peers::Bank, Lockable {
 public:
  using peers::Bank::Bank;
  Answer draw(Mono now, const Ask& ask) override { return locked([&] { return Bank::draw(now, ask); }); }
  void end_at(uint64_t bytes) override { locked([&] { Bank::end_at(bytes); }); }
};

using LockedCommons = node::CommonsOf<LockedShares, LockedEarlyStore, LockedCallers, LockedTrailerNumbers, LockedBank>;

}  // namespace macrovpn::shell
