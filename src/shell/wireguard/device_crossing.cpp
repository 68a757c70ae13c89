// What the workers of a device hand each other (shell/workers/crossing.h): packets for peers of another, initiations whose caller
// worker 0 has read, and datagrams that came to the wrong one.  The last are rare: a short one at the end of a train (the kernel
// steers the whole train by its first), and those that came while a port was opened.
//
// All of them may be lost when a ring is full, as on any link.  Whoever gets one looks again whose it is, by its own tables: a peer
// may have gone meanwhile.
#include "shell/wireguard/device_worker.h"

namespace macrovpn::shell {
namespace {

constexpr size_t kAtOnce = 256;  // messages of one turn; then the own queue and the socket have theirs, whatever others send

}  // namespace

// Called with messages alone (is_message).
bool DeviceWorker::is_anothers(const node::Datagram& d) const {
  const Bytes m = d.packet.bytes();
  if (m[0] == 1) return place_.shard != ShardId{0};
  const ShardId owner = shard_of(encryption::receiver_index(m));
  return owner != place_.shard && owner.value < place_.shards;
}

void DeviceWorker::hand_over(ShardId to, node::ShardNote::Kind kind, node::Datagram& d) {
  counts_.strays++;
  node::ShardMessage& m = to_others_.emplace_back();
  m.to = to;
  m.note.kind = kind;
  m.note.from = place_.shard;
  m.note.remote = d.remote;
  m.note.local = d.local;
  m.packet = std::move(d.packet);
}

void DeviceWorker::send_to_others() {
  if (to_others_.empty()) return;
  commons_->crossing.send(place_.shard, to_others_);
  to_others_.clear();
}

void DeviceWorker::take_handed_over() {
  using Kind = node::ShardNote::Kind;
  if (!commons_) return;
  from_others_.clear();
  if (!commons_->crossing.receive(place_.shard, pool_, from_others_, kAtOnce)) commons_->crossing.bell(place_.shard).ring();
  if (from_others_.empty()) return;
  packets_.clear();
  incoming_.clear();
  for (node::ShardMessage& m : from_others_) {
    node::Datagram d{kListenSocket, m.note.remote, {}, m.note.local};
    switch (m.note.kind) {
      case Kind::outward:
        packets_.push_back(std::move(m.packet));
        break;
      case Kind::datagram:
        d.packet = std::move(m.packet);
        incoming_.push_back(std::move(d));
        break;
      case Kind::initiation:
        d.packet = std::move(m.packet);
        on_handshake_message(d, Handed::over);
        break;
      default:
        MV_ASSERT(false);
    }
  }
  from_others_.clear();
  if (!packets_.empty()) seal_collected(Handed::over);
  if (!incoming_.empty()) open_incoming(Handed::over);
  incoming_.clear();
  send_queued();
  send_to_others();
}

}  // namespace macrovpn::shell
