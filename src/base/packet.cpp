#include "base/packet.h"

namespace macrovpn {

void Packet::assign(Bytes contents) {
  MV_ASSERT(slot_ != nullptr && contents.size() <= kPacketMax + kPacketTailroom);
  begin_ = kPacketHeadroom;
  size_ = static_cast<uint32_t>(contents.size());
  if (!contents.empty()) std::memmove(data(), contents.data(), contents.size());
}

PacketPool::~PacketPool() {
  MV_ASSERT(slots_ == free_.size());
  for (Packet::Slot* slot : free_) delete slot;
}

Packet PacketPool::take_new() {
  auto* slot = new Packet::Slot;  // contents left uninitialised on purpose
  slots_++;
  return Packet(slot, this);
}

Packet PacketPool::copy_of(Bytes contents) {
  Packet p = take();
  p.assign(contents);
  return p;
}

}  // namespace macrovpn
