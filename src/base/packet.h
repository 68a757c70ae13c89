// Packet: one datagram or IP packet in a fixed buffer with room before and behind, so that every layer of a
// circuit seals and opens in place.  Buffers come from a pool and go back to it; nothing is allocated per
// packet once the pool is warm.
//
//   | headroom ........ | contents (data(), size()) | ........ tailroom |
//
// Five hops add 5 x 16 bytes in front and 5 x 16 behind; kHeadroom also leaves place for a virtio-net header.
#pragma once
#include <memory>
#include <vector>

#include "base/bytes.h"

namespace macrovpn {

inline constexpr size_t kPacketCapacity = 2048;
inline constexpr size_t kPacketHeadroom = 160;
inline constexpr size_t kPacketTailroom = 96;
// The largest contents that can be received: covers an MTU of 1500 with margin.
inline constexpr size_t kPacketMax = kPacketCapacity - kPacketHeadroom - kPacketTailroom;

class PacketPool;

class Packet {
 public:
  Packet() = default;
  Packet(Packet&& o) noexcept : slot_(o.slot_), begin_(o.begin_), size_(o.size_) { o.slot_ = nullptr; }
  Packet& operator=(Packet&& o) noexcept;
  ~Packet() { release(); }

  explicit operator bool() const { return slot_ != nullptr; }
  uint8_t* data();
  const uint8_t* data() const;
  size_t size() const { return size_; }
  MutBytes bytes() { return {data(), size_}; }
  Bytes bytes() const { return {data(), size_}; }
  size_t headroom() const { return begin_; }
  size_t tailroom() const { return kPacketCapacity - begin_ - size_; }

  uint8_t* push_front(size_t n);  // n bytes more in front; asserts headroom
  uint8_t* push_back(size_t n);   // n bytes more behind; asserts tailroom
  void pop_front(size_t n);
  void truncate(size_t n);
  void assign(Bytes contents);  // from kPacketHeadroom on; asserts that it fits

 private:
  friend class PacketPool;
  struct Slot {
    PacketPool* pool;
    alignas(64) uint8_t bytes[kPacketCapacity];
  };
  explicit Packet(Slot* s) : slot_(s), begin_(kPacketHeadroom) {}
  void release();

  Slot* slot_ = nullptr;
  uint32_t begin_ = 0;
  uint32_t size_ = 0;
};

// Not thread safe: one pool a shard.  Must outlive its packets.
class PacketPool {
 public:
  PacketPool() = default;
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;
  ~PacketPool();
  Packet take();                   // empty, with kPacketHeadroom in front
  Packet copy_of(Bytes contents);  // contents.size() <= kPacketMax + kPacketTailroom
  size_t slots() const { return slots_; }

 private:
  friend class Packet;
  static constexpr size_t kKeepFree = 4096;  // free slots kept for reuse; more go back to the heap
  std::vector<std::unique_ptr<Packet::Slot>> free_;
  size_t slots_ = 0;
};

}  // namespace macrovpn
