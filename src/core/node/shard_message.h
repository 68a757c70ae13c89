// What one shard of a node tells another.  Nobody outside sees it: it passes through a ring between two threads of one process
// (shell/workers/crossing.h), which copies it.
//
//   datagram     a stray: unmasked, for a session of the other's (its sender's address changed)
//   initiation   a stray whose sender the other has a relation with; the trailer is checked already
//   ask          a session of the sender's asks for a lease that the other granted: H1, whose share, and the LEASE
//   confirmed    that session was confirmed: what it asked for takes effect
//   taken        … the lease is that session's now
//   release      the holder gives it up           gone: the session ended, or holds another lease
//   outward      an IP packet out of such a session, for the exit; its source is still the client's
//   inward       an IP packet for such a session
//   frame        a control frame for such a session
//   question     a frame about the directory, out of a session of the sender's, and from where; answered by `frame`.  Empty: it ended
//   dial         a DIAL out of one (verify_side.h), and whose share it takes; answered by `frame`
//   measure      a MEASURE or SAMPLE out of one (measure_side.h), its type first and without its length, whose share it takes and h1, the
//                session's handshake hash; answered by `frame`
//   record       a frame about records out of one, its type first and without its length, and whose share it takes; answered by `frame`
//
// Order between two shards is kept.  Packets and strays may be lost, as on any link; the others must not be.
#pragma once
#include "base/packet.h"
#include "core/node/masks.h"
#include "crypto/hash.h"
#include "model/caller_key.h"

namespace macrovpn::node {

struct ShardNote {
  enum class Kind : uint8_t { datagram, initiation, ask, confirmed, taken, release, gone, outward, inward, frame, question, dial, measure, record };
  Kind kind = Kind::datagram;
  ShardId from;
  PeerRef session;
  // ---- datagram, initiation, question
  Endpoint remote;
  // ---- datagram, initiation
  IpAddress local;
  MaskName mask;
  // ---- initiation: the relay before us, if there is one
  bool through_relay = false;
  unsigned relays_before = 0;
  PeerId relay{};
  // ---- ask, dial, measure, record, and initiation
  CallerKey caller;
  crypto::Hash32 h1{};

  bool is_stray() const { return kind == Kind::datagram || kind == Kind::initiation; }
  bool is_asked() const { return kind == Kind::question || kind == Kind::dial || kind == Kind::measure || kind == Kind::record; }
  bool may_be_lost() const { return is_stray() || kind == Kind::outward || kind == Kind::inward || is_asked(); }
};

struct ShardMessage {
  ShardId to;
  ShardNote note;
  Packet packet;  // may be none: confirmed, taken, gone
};

}  // namespace macrovpn::node
