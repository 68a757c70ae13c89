#include "core/node/trailer_numbers.h"

#include <algorithm>
#include <utility>

namespace macrovpn::node {
namespace {

constexpr unsigned kCountBits = 22;  // of a trailer's number, below the milliseconds
constexpr Duration kClockTolerance = std::chrono::minutes(10);

uint64_t first_number(Wall at) {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(at.time_since_epoch()).count();
  return static_cast<uint64_t>(std::max<int64_t>(ms, 0)) << kCountBits;
}

}  // namespace

TrailerNumbers::Neighbour* TrailerNumbers::find(const PublicKey& key) {
  const auto at = of_.find(key);
  if (at == of_.end() && of_.size() >= kMaxNeighbours) return nullptr;
  Neighbour& n = at == of_.end() ? of_[key] : at->second;
  n.used = true;
  return &n;
}

uint64_t TrailerNumbers::next(const PublicKey& to, Wall now) {
  Neighbour* n = find(to);
  if (n == nullptr) return first_number(now);  // taken once a millisecond
  n->last = n->last == 0 ? first_number(now) + 1 : n->last + 1;
  return n->last;
}

// A number that lies far ahead is no replay protection's business: one of the two clocks is wrong.  Marking
// it seen would lock its sender out after its clock was put right.
bool TrailerNumbers::accept(const PublicKey& from, uint64_t number, Wall now) {
  if (number > first_number(now + kClockTolerance)) return true;
  Neighbour* n = find(from);
  if (n == nullptr) return false;
  if (!n->seen) n->seen.emplace(encryption::ReplayWindow::kEagerSmall);
  return n->seen->accept(number);
}

void TrailerNumbers::sweep(const std::function<bool(const PublicKey&)>& keep) {
  for (auto at = of_.begin(); at != of_.end();) {
    const bool stays = std::exchange(at->second.used, false) || keep(at->first);
    at = stays ? std::next(at) : of_.erase(at);
  }
}

}  // namespace macrovpn::node
