// Packet: one datagram or IP packet in a fixed buffer with room before and behind, so that every layer of a
// circuit seals and opens in place.  Buffers come from a pool and go back to it; nothing is allocated per
// packet once the pool is warm.
//
//   | headroom ........ | contents (data(), size()) | ........ tailroom |
//
// Five hops add 5 x 16 bytes in front and 5 x 16 behind; kHeadroom also leaves place for a virtio-net header.
#pragma once
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
  Packet(Packet&& o) noexcept : slot_(o.slot_), pool_(o.pool_), begin_(o.begin_), size_(o.size_) { o.slot_ = nullptr; }
  Packet& operator=(Packet&& o) noexcept;
  ~Packet() {
    if (slot_ != nullptr) release();  // asked here: most packets that end were moved from
  }

  explicit operator bool() const { return slot_ != nullptr; }
  uint8_t* data() {
    MV_ASSERT(slot_ != nullptr);
    return slot_->bytes + begin_;
  }
  const uint8_t* data() const {
    MV_ASSERT(slot_ != nullptr);
    return slot_->bytes + begin_;
  }
  size_t size() const { return size_; }
  MutBytes bytes() { return {data(), size_}; }
  Bytes bytes() const { return {data(), size_}; }
  size_t headroom() const { return begin_; }
  size_t tailroom() const { return kPacketCapacity - begin_ - size_; }

  // n bytes more in front; asserts headroom
  uint8_t* push_front(size_t n) {
    MV_ASSERT(n <= headroom());
    begin_ -= static_cast<uint32_t>(n);
    size_ += static_cast<uint32_t>(n);
    return data();
  }
  // n bytes more behind; asserts tailroom
  uint8_t* push_back(size_t n) {
    MV_ASSERT(n <= tailroom());
    uint8_t* at = data() + size_;
    size_ += static_cast<uint32_t>(n);
    return at;
  }
  void pop_front(size_t n) {
    MV_ASSERT(n <= size_);
    begin_ += static_cast<uint32_t>(n);
    size_ -= static_cast<uint32_t>(n);
  }
  void truncate(size_t n) {
    MV_ASSERT(n <= size_);
    size_ = static_cast<uint32_t>(n);
  }
  void assign(Bytes contents);  // from kPacketHeadroom on; asserts that it fits

 private:
  friend class PacketPool;
  struct Slot {
    alignas(64) uint8_t bytes[kPacketCapacity];
  };
  Packet(Slot* s, PacketPool* pool) : slot_(s), pool_(pool), begin_(kPacketHeadroom) {}
  void release();

  Slot* slot_ = nullptr;
  PacketPool* pool_ = nullptr;  // here and not in the slot, whose first bytes nobody else touches
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
  Packet take() {  // empty, with kPacketHeadroom in front
    if (free_.empty()) return take_new();
    Packet::Slot* slot = free_.back();
    free_.pop_back();
    return Packet(slot, this);
  }
  Packet copy_of(Bytes contents);  // contents.size() <= kPacketMax + kPacketTailroom
  size_t slots() const { return slots_; }

 private:
  friend class Packet;
  static constexpr size_t kKeepFree = 4096;  // free slots kept for reuse; more go back to the heap
  Packet take_new();
  void take_back(Packet::Slot* slot) {
    if (free_.size() < kKeepFree) {
      free_.push_back(slot);
    } else {
      delete slot;
      slots_--;
    }
  }
  std::vector<Packet::Slot*> free_;  // owned
  size_t slots_ = 0;
};

inline void Packet::release() {
  pool_->take_back(slot_);
  slot_ = nullptr;
}

inline Packet& Packet::operator=(Packet&& o) noexcept {
  if (this != &o) {
    if (slot_ != nullptr) release();
    slot_ = o.slot_;
    pool_ = o.pool_;
    begin_ = o.begin_;
    size_ = o.size_;
    o.slot_ = nullptr;
  }
  return *this;
}

}  // namespace macrovpn
