#include "shell/offload/scatter.h"

namespace macrovpn::shell {

void Scatter::offer(PacketPool& pool, size_t slots, size_t header, size_t segment, uint8_t* spill) {
  MV_ASSERT(slots > 0 && segment > 0 && header + segment <= kPacketMax);
  header_ = header;
  segment_ = segment;
  spill_ = spill;
  slots_.clear();
  for (size_t i = 0; i < slots; i++) {
    slots_.push_back(pool.take());
    slots_.back().push_back(header + segment);
  }
  // A kernel may count bytes that it did not write: what was in the slot before must not look like a packet.
  slots_.front().data()[0] = 0;
}

void Scatter::append_to(std::vector<iovec>& out) const {
  for (size_t i = 0; i < slots_.size(); i++) {
    uint8_t* at = const_cast<uint8_t*>(slots_[i].data());
    if (i == 0) {
      out.push_back({at, header_ + segment_});
    } else {
      out.push_back({at + header_, segment_});
    }
  }
  out.push_back({spill_, kSpill});
}

Bytes Scatter::front(size_t size) const {
  return slots_.front().bytes().first(std::min(size, header_ + segment_));
}

void Scatter::cut(PacketPool& pool, size_t size, size_t header, size_t segment, std::vector<Packet>& out) {
  const size_t payload = size - header;
  const size_t pieces = payload == 0 ? 1 : (payload + segment - 1) / segment;
  const bool alone = pieces == 1 && size <= header_ + segment_;
  const bool guessed = header == header_ && segment == segment_ && pieces <= slots_.size();
  if (!alone && !guessed) {
    copy(pool, size, header, segment, out);
  } else {
    for (size_t i = 0; i < pieces; i++) {
      slots_[i].truncate(header + std::min(segment, payload - i * segment));
      out.push_back(std::move(slots_[i]));
    }
  }
  slots_.clear();
}

void Scatter::copy(PacketPool& pool, size_t size, size_t header, size_t segment, std::vector<Packet>& out) {
  if (header + segment > kPacketMax && size > kPacketMax) return;
  // Bytes [at, at + n) of the run, wherever they lie.
  const auto fetch = [&](uint8_t* to, size_t at, size_t n) {
    while (n > 0) {
      const size_t spilled_from = header_ + slots_.size() * segment_;
      const uint8_t* from = nullptr;
      size_t run = 0;
      if (at >= spilled_from) {
        from = spill_ + (at - spilled_from);
        run = n;
      } else {
        const size_t slot = at < header_ ? 0 : (at - header_) / segment_;
        const size_t end = header_ + (slot + 1) * segment_;
        from = slots_[slot].data() + (at - slot * segment_);
        run = std::min(n, end - at);
      }
      std::memcpy(to, from, run);
      to += run;
      at += run;
      n -= run;
    }
  };
  for (size_t at = header; at < size || at == header; at += segment) {
    Packet p = pool.take();
    const size_t n = std::min(segment, size - at);
    p.push_back(header + n);
    if (at == header) {
      fetch(p.data(), 0, header + n);
    } else {
      fetch(p.data() + header, at, n);
    }
    out.push_back(std::move(p));
  }
}

}  // namespace macrovpn::shell
