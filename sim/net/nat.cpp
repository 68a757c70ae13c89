#include "sim/net/nat.h"

namespace macrovpn::sim {

const char* to_string(NatDrop d) {
  switch (d) {
    case NatDrop::no_mapping:
      return "no mapping";
    case NatDrop::filtered:
      return "filtered";
    case NatDrop::no_port:
      return "no port";
    case NatDrop::host_limit:
      return "host limit";
    case NatDrop::not_hairpin:
      return "not hairpin";
    case NatDrop::kCount:
      break;
  }
  return "?";
}

Nat::Nat(const NatModel& model, const IpAddress& outside, Rng& random)
    : model_(model), outside_(outside), random_(&random), mappings_(model.most_mappings, model.timeout), next_port_(model.first_port) {
  MV_ASSERT(model.first_port <= model.last_port && model.most_mappings > 0 && model.most_remotes > 0);
}

Result<Translated, NatDrop> Nat::from_inside(Mono now, const Endpoint& source, const Endpoint& destination) {
  const bool hairpin = destination.address == outside_;
  if (hairpin && model_.hairpin == NatHairpin::no) return drop(NatDrop::not_hairpin);
  TRY(Table::Entry* const entry, mapping_for(now, source, destination));
  mappings_.refresh(now, *entry);
  permit(now, entry->value, destination);
  counters_.out++;
  const Endpoint outside{outside_, entry->value.port};
  // REQ-9: who is called from inside sees the caller's outside endpoint.
  if (hairpin) return come_in(now, outside, destination.port);
  return Translated{outside, destination};
}

Result<Translated, NatDrop> Nat::from_outside(Mono now, const Endpoint& source, const Endpoint& destination) {
  MV_ASSERT(destination.address == outside_);
  return come_in(now, source, destination.port);
}

Result<Translated, NatDrop> Nat::come_in(Mono now, const Endpoint& source, uint16_t port) {
  const auto found = by_port_.find(port);
  Table::Entry* const entry = found == by_port_.end() ? nullptr : mappings_.find(now, found->second);
  if (entry == nullptr) return drop(NatDrop::no_mapping);
  if (!is_permitted(now, entry->value, source)) return drop(NatDrop::filtered);
  if (model_.refresh == NatRefresh::outbound_and_inbound) {
    mappings_.refresh(now, *entry);
    permit(now, entry->value, source);
  }
  counters_.in++;
  return Translated{source, entry->key.inside, true};
}

Endpoint Nat::part(const Endpoint& remote, NatDependence dependence) {
  switch (dependence) {
    case NatDependence::endpoint_independent:
      return {};
    case NatDependence::address_dependent:
      return {remote.address, 0};
    case NatDependence::address_and_port_dependent:
      return remote;
  }
  return {};
}

Result<Nat::Table::Entry*, NatDrop> Nat::mapping_for(Mono now, const Endpoint& inside, const Endpoint& remote) {
  const Key key{inside, part(remote, model_.mapping)};
  if (Table::Entry* const entry = mappings_.find(now, key)) return entry;
  while (const Table::Entry* gone = mappings_.must_go(now)) {
    if (gone->until > now) counters_.evicted++;
    const Key old = gone->key;
    forget(old, gone->value.port);
  }
  const auto count = per_host_.find(inside.address);
  if (count != per_host_.end() && count->second >= model_.most_per_host) return drop(NatDrop::host_limit);
  const auto port = free_port(inside.port);
  if (!port) return drop(NatDrop::no_port);
  by_port_.emplace(*port, key);
  per_host_[inside.address]++;
  counters_.mappings++;
  return &mappings_.add(now, key, {*port, {}});
}

// The first free port from a start on, around the end.
std::optional<uint16_t> Nat::free_port(uint16_t wanted) {
  const uint32_t first = model_.first_port, count = model_.last_port - first + 1u;
  if (by_port_.size() >= count) return std::nullopt;
  uint32_t start = next_port_;
  if (model_.ports == NatPorts::preserved && wanted >= first && wanted <= model_.last_port) start = wanted;
  if (model_.ports == NatPorts::random) start = first + static_cast<uint32_t>(random_->below(count));
  for (uint32_t i = 0; i < count; i++) {
    const auto port = static_cast<uint16_t>(first + (start - first + i) % count);
    if (by_port_.contains(port)) continue;
    if (model_.ports == NatPorts::sequential) next_port_ = static_cast<uint16_t>(first + (port - first + 1u) % count);
    return port;
  }
  return std::nullopt;
}

void Nat::forget(const Key& key, uint16_t port) {
  by_port_.erase(port);
  const auto host = per_host_.find(key.inside.address);
  if (--host->second == 0) per_host_.erase(host);
  mappings_.remove(key);
}

void Nat::permit(Mono now, Mapping& mapping, const Endpoint& remote) {
  if (model_.filtering == NatDependence::endpoint_independent) return;
  const Endpoint who = part(remote, model_.filtering);
  auto& permits = mapping.permits;
  const auto found = std::find_if(permits.begin(), permits.end(), [&](const Permit& p) { return p.remote == who; });
  if (found != permits.end()) {
    found->until = now + model_.timeout;
    std::rotate(permits.begin(), found, found + 1);
    return;
  }
  if (permits.size() >= model_.most_remotes) permits.pop_back();
  permits.insert(permits.begin(), {who, now + model_.timeout});
}

bool Nat::is_permitted(Mono now, const Mapping& mapping, const Endpoint& remote) const {
  if (model_.filtering == NatDependence::endpoint_independent) return true;
  const Endpoint who = part(remote, model_.filtering);
  return std::any_of(mapping.permits.begin(), mapping.permits.end(), [&](const Permit& p) { return p.remote == who && p.until > now; });
}

void Nat::reboot(std::optional<IpAddress> outside) {
  mappings_.clear();
  by_port_.clear();
  per_host_.clear();
  next_port_ = model_.first_port;
  if (outside) outside_ = *outside;
}

Failure<NatDrop> Nat::drop(NatDrop why) {
  counters_.dropped[static_cast<size_t>(why)]++;
  return {why};
}

void Nat::check_invariants() const {
  MV_ASSERT(mappings_.size() <= model_.most_mappings);
  MV_ASSERT(mappings_.size() == by_port_.size());
  size_t hosts = 0;
  for (const auto& [host, count] : per_host_) {
    MV_ASSERT(count > 0 && count <= model_.most_per_host);
    hosts += count;
  }
  MV_ASSERT(hosts == mappings_.size());
}

}  // namespace macrovpn::sim
