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
  if (n.is_stray()) return Ring::Room::half;
  return n.may_be_lost() ? Ring::Room::most : Ring::Room::whole;
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
  auto& kept = s.kept[m.to.value];
  if (m.note.may_be_lost() || kept.size() >= kMostKept) {
    s.lost++;
    return;
  }
  const Bytes head = head_of(m), body = body_of(m);
  auto& record = kept.emplace_back(head.begin(), head.end());
  record.insert(record.end(), body.begin(), body.end());
}

// To each shard in order, until one finds no room.
void Crossing::send_kept(ShardId from, uint32_t& rung) {
  Side& s = side(from);
  for (uint8_t to = 0; to < shards(); to++) {
    auto& kept = s.kept[to];
    for (; !kept.empty() && ring(from, ShardId{to}).push(kept.front(), {}); kept.pop_front()) rung |= 1u << to;
  }
}

void Crossing::send(ShardId from, std::span<const ShardMessage> messages) {
  Side& s = side(from);
  uint32_t rung = 0;
  send_kept(from, rung);
  for (const ShardMessage& m : messages) {
    MV_ASSERT(m.to != from && m.to.value < shards());
    if (s.kept[m.to.value].empty() && ring(from, m.to).push(head_of(m), body_of(m), room_for(m.note))) {
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
