#include "sim/engine/event_heap.h"

namespace macrovpn::sim {

EventId EventHeap::add(Subject subject) {
  uint32_t id = static_cast<uint32_t>(entries_.size());
  if (free_.empty()) {
    entries_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  entries_[id] = {};
  entries_[id].subject = subject;
  entries_[id].used = true;
  return {id};
}

void EventHeap::remove(EventId id) {
  schedule(id, kNever);
  entries_[id.value].used = false;
  free_.push_back(id.value);
}

void EventHeap::schedule(EventId id, Mono at) {
  MV_ASSERT(id.value < entries_.size() && entries_[id.value].used);
  Entry& e = entries_[id.value];
  if (e.at == at) return;
  e.at = at;
  e.sequence = ++sequence_;
  if (at == kNever) {
    if (e.place != kNowhere) take_out(id.value);
    return;
  }
  if (e.place == kNowhere) {
    heap_.push_back(id.value);
    e.place = static_cast<uint32_t>(heap_.size() - 1);
  }
  up(e.place);
  down(e.place);
}

EventHeap::Due EventHeap::pop() {
  MV_ASSERT(!heap_.empty());
  const uint32_t id = heap_.front();
  const Due due{entries_[id].at, {id}, entries_[id].subject};
  take_out(id);
  entries_[id].at = kNever;
  return due;
}

void EventHeap::take_out(uint32_t id) {
  const uint32_t place = entries_[id].place;
  const uint32_t last = heap_.back();
  heap_.pop_back();
  entries_[id].place = kNowhere;
  if (last == id) return;
  put(place, last);
  up(place);
  down(entries_[last].place);
}

void EventHeap::put(uint32_t place, uint32_t id) {
  heap_[place] = id;
  entries_[id].place = place;
}

void EventHeap::up(uint32_t place) {
  const uint32_t id = heap_[place];
  while (place > 0) {
    const uint32_t parent = (place - 1) / 2;
    if (!before(id, heap_[parent])) break;
    put(place, heap_[parent]);
    place = parent;
  }
  put(place, id);
}

void EventHeap::down(uint32_t place) {
  const uint32_t id = heap_[place];
  for (;;) {
    uint32_t child = 2 * place + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && before(heap_[child + 1], heap_[child])) child++;
    if (!before(heap_[child], id)) break;
    put(place, heap_[child]);
    place = child;
  }
  put(place, id);
}

void EventHeap::check_invariants() const {
  for (uint32_t i = 0; i < heap_.size(); i++) {
    MV_ASSERT(entries_[heap_[i]].place == i && entries_[heap_[i]].at != kNever);
    MV_ASSERT(i == 0 || !before(heap_[i], heap_[(i - 1) / 2]));
  }
}

}  // namespace macrovpn::sim
