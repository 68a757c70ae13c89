#include "shell/workers/ring.h"

namespace macrovpn::shell {

Ring::Ring(size_t bytes) : size_(bytes), bytes_(std::make_unique_for_overwrite<uint8_t[]>(bytes)) {
  MV_ASSERT(bytes >= 64 && (bytes & (bytes - 1)) == 0);
}

bool Ring::push(Bytes head, Bytes body, Room room) {
  const size_t record = head.size() + body.size(), needed = room_for(record);
  MV_ASSERT(needed <= size_ / 4);
  const uint64_t begin = written_.load(std::memory_order_relaxed);
  const size_t to_end = size_ - at(begin);
  const size_t skipped = to_end < needed ? to_end : 0;
  const size_t usable = room == Room::half ? size_ / 2 : room == Room::most ? size_ / 4 * 3 : size_;
  if (begin + skipped + needed - seen_read_ > usable) {
    seen_read_ = read_.load(std::memory_order_acquire);
    if (begin + skipped + needed - seen_read_ > usable) return false;
  }
  if (skipped != 0) store_le32(&bytes_[at(begin)], kSkip);  // positions are 0 mod 8: there are four bytes at least
  uint8_t* to = &bytes_[at(begin + skipped)];
  store_le32(to, static_cast<uint32_t>(record));
  if (!head.empty()) std::copy(head.begin(), head.end(), to + 4);
  if (!body.empty()) std::copy(body.begin(), body.end(), to + 4 + head.size());
  written_.store(begin + skipped + needed, std::memory_order_release);
  return true;
}

std::optional<Bytes> Ring::front() {
  uint64_t begin = read_.load(std::memory_order_relaxed);
  if (begin == seen_written_) {
    seen_written_ = written_.load(std::memory_order_acquire);
    if (begin == seen_written_) return std::nullopt;
  }
  if (load_le32(&bytes_[at(begin)]) == kSkip) {
    begin += size_ - at(begin);
    read_.store(begin, std::memory_order_release);
  }
  const uint8_t* from = &bytes_[at(begin)];
  return Bytes(from + 4, load_le32(from));
}

void Ring::pop() {
  const uint64_t begin = read_.load(std::memory_order_relaxed);
  const uint32_t record = load_le32(&bytes_[at(begin)]);
  MV_ASSERT(begin != seen_written_ && record != kSkip);
  read_.store(begin + room_for(record), std::memory_order_release);
}

}  // namespace macrovpn::shell
