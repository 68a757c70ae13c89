#include "sim/engine/event_heap.h"

#include <algorithm>

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
  ++sequence_;
  if (at == kNever) {
    if (e.place != kNowhere) take_out(id.value);
    return;
  }
  if (e.place == kNowhere) {
    e.place = static_cast<uint32_t>(heap_.size());
    heap_.emplace_back();
  }
  settle(e.place, {at, sequence_, id.value});
}

EventHeap::Due EventHeap::pop() {
  MV_ASSERT(!heap_.empty());
  const uint32_t id = heap_.front().id;
  const Due due{heap_.front().at, {id}, entries_[id].subject};
  take_out(id);
  entries_[id].at = kNever;
  return due;
}

void EventHeap::take_out(uint32_t id) {
  const uint32_t place = entries_[id].place;
  const Waiting last = heap_.back();
  heap_.pop_back();
  entries_[id].place = kNowhere;
  if (last.id != id) settle(place, last);
}

void EventHeap::put(uint32_t place, const Waiting& w) {
  heap_[place] = w;
  entries_[w.id].place = place;
}

void EventHeap::settle(uint32_t place, const Waiting& w) {
  while (place > 0) {
    const uint32_t parent = (place - 1) / kChildren;
    if (!w.before(heap_[parent])) break;
    put(place, heap_[parent]);
    place = parent;
  }
  for (;;) {
    const size_t first = size_t{kChildren} * place + 1;
    if (first >= heap_.size()) break;
    size_t least = first;
    for (size_t child = first + 1; child < std::min(first + kChildren, heap_.size()); child++) {
      if (heap_[child].before(heap_[least])) least = child;
    }
    if (!heap_[least].before(w)) break;
    put(place, heap_[least]);
    place = static_cast<uint32_t>(least);
  }
  put(place, w);
}

void EventHeap::check_invariants() const {
  for (uint32_t i = 0; i < heap_.size(); i++) {
    const Entry& e = entries_[heap_[i].id];
    MV_ASSERT(e.place == i && e.at == heap_[i].at && e.at != kNever);
    MV_ASSERT(i == 0 || !heap_[i].before(heap_[(i - 1) / kChildren]));
  }
}

}  // namespace macrovpn::sim
