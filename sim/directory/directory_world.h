// DirectoryWorld: thousands of the shipped Gossip and ClientCopy over a lossy internet in virtual time.
//
// Every descriptor is really signed and really verified, but by one of them only: what is true of its bytes is remembered, and entries are
// shared.  Sessions cost what WireGuard sessions of ours cost: a handshake at the call and after each 120 s of use, 32 bytes and
// padding to 16 for each message.  Messages take 5 to 170 ms, by place, and are lost at random.
//
// Same seed, same run: whole numbers only, ordered containers, one stream of randomness for each relay.
#pragma once
#include <deque>
#include <memory>
#include <unordered_map>

#include "core/discovery/client_copy.h"
#include "core/discovery/gossip.h"
#include "sim/engine/event_heap.h"
#include "sim/engine/streams.h"
#include "sim/engine/trace_hash.h"

namespace macrovpn::sim {

using NodeNumber = uint32_t;

inline constexpr size_t kMaxDirectoryRelays = 25'000;

struct DirectoryOptions {
  size_t relays = 1000;
  uint64_t seed = 1;
  unsigned loss_percent = 1;
};

// How a source that is not one of the relays answers.
enum class Manner : uint8_t { honest, silent, says_equal };

struct Traffic {
  uint64_t sent = 0, received = 0;  // bytes on the wire, with IP and UDP
};

class DirectoryWorld {
 public:
  explicit DirectoryWorld(const DirectoryOptions&);
  Now now() const { return now_; }
  void run_for(Duration);
  // Until it holds, looked at every `step`; the time that it took, or nothing after `at_most`.
  template <class Condition>
  std::optional<Duration> run_until(Duration at_most, Duration step, Condition holds) {
    const Mono start = now_.mono;
    while (!holds()) {
      if (now_.mono - start >= at_most) return std::nullopt;
      run_for(step);
    }
    return now_.mono - start;
  }

  size_t relays() const { return relay_count_; }
  bool is_alive(NodeNumber n) const { return nodes_[n].alive; }
  bool is_censor(NodeNumber n) const { return nodes_[n].censor; }
  discovery::Gossip& gossip(NodeNumber n) { return *nodes_[n].gossip; }
  const discovery::RelaySet& set_of(NodeNumber n) const;
  const Traffic& traffic(NodeNumber n) const { return nodes_[n].traffic; }
  discovery::ShortId id_of(NodeNumber n) const { return nodes_[n].short_id; }

  // Signs and tells: a renewal, as often as not one with a result more of what it measured of others; or a body that changed.  The entry's item.
  discovery::Item renew(NodeNumber);
  discovery::Item change(NodeNumber);
  // Two bodies of one second, each told by another relay.
  discovery::Item equivocate(NodeNumber who, NodeNumber one, NodeNumber other);
  void renew_every(Duration);  // all relays, each at a time of its own, from now on

  void kill(NodeNumber n) { nodes_[n].alive = false; }
  // Takes in nothing of those relays, and so hands none of it on.
  void censor(NodeNumber n, bool on) { nodes_[n].censor = on; }
  void set_targets(std::vector<discovery::ShortId> sorted) { targets_ = std::move(sorted); }
  void set_side(NodeNumber n, int side) { nodes_[n].side = side; }  // those of different sides do not hear each other
  void set_skew(NodeNumber n, Duration skew) { nodes_[n].skew = skew; }

  NodeNumber add_client();
  // Somebody who holds that set, takes no part in the gossip, and answers clients.
  NodeNumber add_source(const discovery::RelaySet&, Manner);
  // Descriptors for such a set: of nobody known, at that address; of a relay, without telling anybody.
  discovery::EntryPtr sign_stranger(const IpAddress& home, Wall when);
  discovery::EntryPtr signed_by(NodeNumber, Wall when);
  const Network& network() const { return network_; }
  discovery::ClientCopy& client(NodeNumber n) { return *nodes_[n].client; }
  void sync(NodeNumber client, const std::vector<NodeNumber>& sources);
  uint64_t hash() const { return trace_.value(); }
  uint64_t messages() const { return messages_; }

 private:
  enum Kind : uint8_t { kDeadline, kArrival, kRenewal };
  struct Node {
    SeededRng rng{0};
    std::unique_ptr<discovery::Gossip> gossip;
    std::unique_ptr<discovery::ClientCopy> client;
    crypto::SigningKey key;
    RelayInfo info;
    RelayDetails details;
    PeerId id;
    discovery::ShortId short_id;
    int32_t x = 0, y = 0;
    int side = 0;
    bool alive = true, censor = false;
    Manner manner = Manner::honest;
    Duration skew{};
    EventId deadline;
    Traffic traffic;
  };
  struct Session {
    NodeNumber a, b;
    Mono handshake;
    bool doomed = false;  // one end spoke and was not heard
  };
  enum class What : uint8_t { message, session_here, session_there, call_failed, closed };
  struct Flight {
    What what;
    NodeNumber to, from;
    discovery::SyncSession session;
    discovery::SyncKind kind;
    std::vector<uint8_t> body;
    EventId event;
  };

  Now now_of(const Node& n) const { return {now_.mono, now_.wall + n.skew}; }
  Duration delay(const Node&, const Node&) const;
  bool hears(const Node& a, const Node& b) const { return a.alive && b.alive && a.side == b.side; }
  void fly(Duration after, Flight);
  void arrive(uint32_t flight);
  void hear(Node&, const Now&, const Flight&, discovery::SyncOut&);
  void perform(NodeNumber, discovery::SyncOut&);
  void send(NodeNumber, const discovery::SyncMessage&);
  void call(NodeNumber from, NodeNumber to);
  void shake(Session&);
  Result<discovery::EntryPtr, discovery::CheckFailure> check(const Node&, const discovery::SyncCheck&);
  void reschedule(NodeNumber);
  void on_deadline(NodeNumber);
  discovery::EntryPtr sign(Node&, Wall);
  discovery::EntryPtr remember(Bytes);
  NodeNumber other_end(const Session& s, NodeNumber n) const { return s.a == n ? s.b : s.a; }

  Network network_;
  Streams streams_;
  SeededRng wire_;
  unsigned loss_percent_;
  Now now_;
  EventHeap heap_;
  std::deque<Node> nodes_;  // never move: what they hold refers to their randomness
  size_t relay_count_ = 0;
  std::unordered_map<PeerId, NodeNumber> by_id_;
  std::map<discovery::SyncSession, Session> sessions_;
  uint32_t next_session_ = 1;
  std::vector<Flight> flights_;
  std::vector<uint32_t> free_flights_;
  std::unordered_map<uint64_t, discovery::EntryPtr> verified_;  // by a digest of the bytes
  std::vector<discovery::ShortId> targets_;
  Duration renew_every_{};
  std::vector<EventId> renewals_;
  TraceHash trace_;
  uint64_t messages_ = 0;
};

}  // namespace macrovpn::sim
