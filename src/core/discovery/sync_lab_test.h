// For tests of the directory: really signed descriptors, and exchanges that talk without delay.
#pragma once
#include <gtest/gtest.h>

#include "core/discovery/client_copy.h"
#include "core/discovery/gossip.h"
#include "crypto/x25519.h"

namespace macrovpn::discovery {

struct LabRelay {
  crypto::SigningKey key;
  RelayInfo info;
  PeerId id;
  ShortId short_id;
};

class SyncLab : public ::testing::Test {
 protected:
  SyncLab() {
    network_.id = {{1, 2, 3, 4, 5, 6, 7, 8}};
    network_.max_per_v4_16 = 1000;
  }
  LabRelay& relay(size_t n) {
    while (relays_.size() <= n) {
      LabRelay r;
      const uint32_t i = static_cast<uint32_t>(relays_.size());
      r.key = crypto::ed25519_generate(rng_);
      r.id = peer_id_of(r.key.pub);
      r.short_id = short_id_of(r.id);
      r.info.wireguard = crypto::x25519_generate(rng_).pub;
      r.info.endpoints = {{IpAddress::v4(0x0a000001 + (i << 14)), 51820}};
      r.info.created = now_.wall - std::chrono::hours(100);
      relays_.push_back(r);
    }
    return relays_[n];
  }
  EntryPtr signed_by(size_t n, Wall when) {
    LabRelay& r = relay(n);
    r.info.prekey = crypto::x25519_generate(rng_).pub;
    return make_entry(*open_descriptor(sign_descriptor(r.info, network_.id, r.key, when), network_.id), network_);
  }
  EntryPtr signed_by(size_t n) { return signed_by(n, now_.wall - std::chrono::hours(1)); }
  EntryPtr renewed(const EntryPtr& e, size_t n, Wall when) {
    const auto r = sign_renewal(e->descriptor, relay(n).key, when, crypto::x25519_generate(rng_).pub);
    return make_entry(*with_renewal(e->descriptor, r), network_);
  }
  void pass(Duration d) { now_ = {now_.mono + d, now_.wall + d}; }

  // Lets two exchanges talk until they are silent; both call the session 1.  Messages of each kind are counted.
  template <class A, class B>
  void talk(A& a, SyncOut& out_a, B& b, SyncOut& out_b) {
    for (int i = 0; i < 1000 && !(out_a.messages.empty() && out_b.messages.empty() && out_a.checks.empty() && out_b.checks.empty()); i++) {
      step(a, out_a, b, out_b);
      step(b, out_b, a, out_a);
    }
  }
  template <class A, class B>
  void step(A& a, SyncOut& out_a, B& b, SyncOut& out_b) {
    for (const SyncCheck& c : std::exchange(out_a.checks, {})) {
      a.on_checked(now_, c.id, run_check(c, network_, CheckDepth::signatures_and_work, now_.wall), out_a);
    }
    for (const SyncMessage& m : std::exchange(out_a.messages, {})) {
      EXPECT_LE(m.body.size(), kMaxSyncMessage);
      count_[m.kind]++;
      bytes_[m.kind] += m.body.size();
      b.on_message(now_, m.to, m.kind, m.body, out_b);
    }
  }

  SeededRng rng_{11};
  Network network_;
  Now now_{Mono(std::chrono::hours(1)), wall_from_unix(1'800'000'000)};
  std::deque<LabRelay> relays_;
  std::map<SyncKind, size_t> count_, bytes_;
};

inline constexpr SyncSession kOne{1};

}  // namespace macrovpn::discovery
