// EventHeap: what happens next.  Each thing that waits (a node's next deadline, a packet in flight, a timer) is in the heap
// once and is re-keyed when its time changes.  What is due at the same instant comes in the order in which it was scheduled, so
// that a run follows from its seed alone.
//
// A heap of four children each, whose entries hold the time and the sequence that they are compared by, so that a level costs one
// line of cache and not four; schedule() and pop() are O(log n), nothing is allocated per event once the heap has its size.
#pragma once
#include <vector>

#include "base/assert.h"
#include "base/strong.h"
#include "base/time.h"

namespace macrovpn::sim {

using EventId = Strong<struct EventIdTag, uint32_t>;

// What an event is about: a kind and a number, both the caller's.
struct Subject {
  uint8_t kind = 0;
  uint32_t number = 0;
  auto operator<=>(const Subject&) const = default;
};

class EventHeap {
 public:
  struct Due {
    Mono at;
    EventId id;
    Subject subject;
  };
  EventId add(Subject);  // not scheduled yet
  void remove(EventId);  // its id may be given to another
  // kNever: not scheduled any more.  The same time again: it keeps its place among its equals.
  void schedule(EventId, Mono at);
  Mono time_of(EventId id) const { return entry(id).at; }
  bool empty() const { return heap_.empty(); }
  Mono next() const { return heap_.empty() ? kNever : heap_.front().at; }
  const Subject& next_subject() const { return entries_[heap_.front().id].subject; }  // not if empty
  Due pop();  // the first; stays known, not scheduled.  Not if empty
  size_t scheduled() const { return heap_.size(); }
  void check_invariants() const;

 private:
  static constexpr uint32_t kNowhere = UINT32_MAX;
  static constexpr uint32_t kChildren = 4;
  struct Entry {
    Mono at = kNever;
    Subject subject;
    uint32_t place = kNowhere;  // in heap_
    bool used = false;
  };
  struct Waiting {
    Mono at;
    uint64_t sequence;
    uint32_t id;
    bool before(const Waiting& o) const { return at != o.at ? at < o.at : sequence < o.sequence; }
  };
  const Entry& entry(EventId id) const {
    MV_ASSERT(id.value < entries_.size() && entries_[id.value].used);
    return entries_[id.value];
  }
  void put(uint32_t place, const Waiting&);
  // Into a place that is free, or further up or down if it belongs there.
  void settle(uint32_t place, const Waiting&);
  void take_out(uint32_t id);

  std::vector<Entry> entries_;
  std::vector<Waiting> heap_;
  std::vector<uint32_t> free_;
  uint64_t sequence_ = 0;
};

}  // namespace macrovpn::sim
