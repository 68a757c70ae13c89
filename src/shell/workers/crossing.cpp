#include "shell/workers/crossing.h"

#include <cstring>
#include <type_traits>

namespace macrovpn::shell {

using node::ShardMessage;
using node::ShardNote;

namespace {

// A record is the note as it lies in memory, and the packet: both ends are the same program.
static_assert(std::is_trivially_copyable_v<ShardNote>);

Bytes head_of(const ShardMessage& m) {
  return {reinterpret_cast<const uint8_t*>(&m.note), sizeof m.note};
}
Bytes body_of(const ShardMessage& m) {
  return m.packet ? m.packet.bytes() : Bytes();
}
Ring::Room room_for(const ShardNote& n) {
  return n.is_stray() ? Ring::Room::half : Ring::Room::whole;
}

}  // namespace

Crossing::Crossing(size_t shards, size_t ring_bytes) {
  MV_ASSERT(shards <= kMaxShards);
  for (size_t i = 0; i < shards * shards; i++)
    rings_.push_back(i / shards == i % shards ? nullptr : std::make_unique<Ring>(ring_bytes));
  for (size_t i = 0; i < shards; i++) {
    sides_.push_back(std::make_unique<Side>());
    bells_.push_back(std::make_unique<Bell>());
  }
}

void Crossing::keep_or_lose(Side& s, const ShardMessage& m) {
  if (m.note.may_be_lost() || s.kept.size() >= kMostKept) {
    s.lost++;
    return;
  }
  const Bytes head = head_of(m), body = body_of(m);
  Kept k{m.to, {head.begin(), head.end()}};
  k.record.insert(k.record.end(), body.begin(), body.end());
  s.kept.push_back(std::move(k));
}

// In order, until one finds no room: what is behind it may be for another shard, but that can wait as well.
void Crossing::send_kept(ShardId from, uint32_t& rung) {
  Side& s = side(from);
  for (; !s.kept.empty() && ring(from, s.kept.front().to).push(s.kept.front().record, {}); s.kept.pop_front())
    rung |= 1u << s.kept.front().to.value;
}

void Crossing::send(ShardId from, std::span<const ShardMessage> messages) {
  Side& s = side(from);
  uint32_t rung = 0;
  send_kept(from, rung);
  for (const ShardMessage& m : messages) {
    MV_ASSERT(m.to != from && m.to.value < shards());
    if (s.kept.empty() && ring(from, m.to).push(head_of(m), body_of(m), room_for(m.note))) {
      rung |= 1u << m.to.value;
    } else {
      keep_or_lose(s, m);
    }
  }
  for (size_t to = 0; to < shards(); to++) {
    if ((rung >> to & 1) != 0) bells_[to]->ring();
  }
}

bool Crossing::receive(ShardId to, PacketPool& pool, std::vector<ShardMessage>& out, size_t most) {
  Side& s = side(to);
  size_t taken = 0;
  for (size_t i = 0; i < shards(); i++) {
    const ShardId from{static_cast<uint8_t>((s.next + i) % shards())};
    if (from == to) continue;
    Ring& r = ring(from, to);
    for (auto record = r.front(); record; record = r.front()) {
      if (taken++ == most) {
        s.next = from.value;  // its turn comes first
        return false;
      }
      ShardMessage& m = out.emplace_back();
      m.to = to;
      std::memcpy(&m.note, record->data(), sizeof m.note);
      if (record->size() > sizeof m.note) m.packet = pool.copy_of(record->subspan(sizeof m.note));
      r.pop();
    }
  }
  return true;
}

}  // namespace macrovpn::shell
