#include "core/discovery/first_seen.h"

namespace macrovpn::discovery {

void FirstSeen::restore(ShortId id, Wall when) {
  seen_[id] = when;
  began_ = std::min(began_, when);
}

RelayInfo FirstSeen::believed(const RelayEntry& e, Wall now) {
  Wall& seen = seen_.try_emplace(e.short_id, now).first->second;
  seen = std::min(seen, now);  // a clock that was ahead
  began_ = std::min(began_, seen);
  RelayInfo info = e.descriptor.relay;
  if (seen > began_ + kFirstDay) info.created = std::max(info.created, seen);
  return info;
}

void FirstSeen::keep(const RelaySet& set) {
  std::erase_if(seen_, [&](const auto& s) { return set.find(s.first) == nullptr; });
}

}  // namespace macrovpn::discovery
