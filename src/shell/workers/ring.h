// Ring: records of bytes from one thread to one other, in order, without a lock and without waiting.
//
//   | size 4 | record, padded to 8 | size 4 | record | ...      a record never wraps: what is left of the end is skipped
//
// Bounded: what finds no room is refused, and it is the producer's to count it or to keep it.  The memory is touched as it is
// used, so that a ring that nobody needs costs next to nothing.
#pragma once
#include <atomic>
#include <memory>
#include <optional>

#include "base/bytes.h"

namespace macrovpn::shell {

class Ring {
 public:
  // bytes: a power of two.  The longest record is a quarter of it.
  explicit Ring(size_t bytes);
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // ---- the producer.  One record of two parts.  `half`, `most`: only the first half, three quarters may be filled, which
  // leaves room for what matters more.  False: there is no room.
  enum class Room : uint8_t { half, most, whole };
  bool push(Bytes head, Bytes body, Room room = Room::whole);

  // ---- the consumer.  The oldest record; its bytes stay until pop().
  std::optional<Bytes> front();
  void pop();

 private:
  static constexpr uint32_t kSkip = UINT32_MAX;  // in place of a size: go on at the start
  static size_t room_for(size_t record) { return (record + 4 + 7) & ~size_t{7}; }
  size_t at(uint64_t position) const { return static_cast<size_t>(position & (size_ - 1)); }

  size_t size_;
  std::unique_ptr<uint8_t[]> bytes_;
  // Positions only grow.  Each side writes its own and remembers what it last saw of the other's.
  alignas(64) std::atomic<uint64_t> written_{0};
  uint64_t seen_read_ = 0;
  alignas(64) std::atomic<uint64_t> read_{0};
  uint64_t seen_written_ = 0;
};

}  // namespace macrovpn::shell
