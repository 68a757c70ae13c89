#include "base/packet.h"

namespace macrovpn {

Packet& Packet::operator=(Packet&& o) noexcept {
  if (this != &o) {
    release();
    slot_ = o.slot_;
    begin_ = o.begin_;
    size_ = o.size_;
    o.slot_ = nullptr;
  }
  return *this;
}

void Packet::release() {
  if (slot_ == nullptr) return;
  PacketPool& pool = *slot_->pool;
  std::unique_ptr<Slot> slot(slot_);
  slot_ = nullptr;
  if (pool.free_.size() < PacketPool::kKeepFree) {
    pool.free_.push_back(std::move(slot));
  } else {
    pool.slots_--;
  }
}

uint8_t* Packet::data() {
  MV_ASSERT(slot_ != nullptr);
  return slot_->bytes + begin_;
}
const uint8_t* Packet::data() const {
  MV_ASSERT(slot_ != nullptr);
  return slot_->bytes + begin_;
}

uint8_t* Packet::push_front(size_t n) {
  MV_ASSERT(n <= headroom());
  begin_ -= static_cast<uint32_t>(n);
  size_ += static_cast<uint32_t>(n);
  return data();
}

uint8_t* Packet::push_back(size_t n) {
  MV_ASSERT(n <= tailroom());
  uint8_t* at = data() + size_;
  size_ += static_cast<uint32_t>(n);
  return at;
}

void Packet::pop_front(size_t n) {
  MV_ASSERT(n <= size_);
  begin_ += static_cast<uint32_t>(n);
  size_ -= static_cast<uint32_t>(n);
}

void Packet::truncate(size_t n) {
  MV_ASSERT(n <= size_);
  size_ = static_cast<uint32_t>(n);
}

void Packet::assign(Bytes contents) {
  MV_ASSERT(slot_ != nullptr && contents.size() <= kPacketMax + kPacketTailroom);
  begin_ = kPacketHeadroom;
  size_ = static_cast<uint32_t>(contents.size());
  if (!contents.empty()) std::memmove(data(), contents.data(), contents.size());
}

PacketPool::~PacketPool() {
  MV_ASSERT(slots_ == free_.size());
}

Packet PacketPool::take() {
  if (free_.empty()) {
    std::unique_ptr<Packet::Slot> slot(new Packet::Slot);  // contents left uninitialised on purpose
    slot->pool = this;
    slots_++;
    return Packet(slot.release());
  }
  Packet p(free_.back().release());
  free_.pop_back();
  return p;
}

Packet PacketPool::copy_of(Bytes contents) {
  Packet p = take();
  p.assign(contents);
  return p;
}

}  // namespace macrovpn
