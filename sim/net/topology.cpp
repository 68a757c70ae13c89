#include "sim/net/topology.h"

namespace macrovpn::sim {
namespace {

constexpr uint32_t kTen = 10u << 24, kSites = 198u << 24 | 18u << 16, kCarrier = 100u << 24 | 64u << 16;
constexpr uint32_t kInsideTunnels = 10;  // 10.10.0.0/16

IpPrefix v4_of(size_t i) {
  const auto second = static_cast<uint32_t>(i < kInsideTunnels ? i : i + 1);
  return {IpAddress::v4(kTen | second << 16), 16};
}

IpPrefix v6_of(size_t i) {
  ByteArray<16> b{0x3f, 0xff};
  store_be16(&b[2], static_cast<uint16_t>(i + 1));
  return {IpAddress::v6(b), 32};
}

// Host n of a block of whole /24s: 1 to 254 in each, the /24s taken in turn.
uint32_t spread(uint32_t n, uint32_t blocks) {
  return (n % blocks) << 8 | (n / blocks + 1);
}

}  // namespace

Topology::Topology(const TopologyModel& model, Rng& random) {
  MV_ASSERT(model.hosting + model.homes + model.mobile <= kMostSystems);
  const std::pair<SystemKind, size_t> wanted[] = {
      {SystemKind::hosting, model.hosting}, {SystemKind::homes, model.homes}, {SystemKind::mobile, model.mobile}};
  std::array<Place, kPlaces> by_weight;
  for (size_t i = 0; i < kPlaces; i++) by_weight[i] = static_cast<Place>(i);
  std::stable_sort(by_weight.begin(), by_weight.end(), [](Place a, Place b) { return facts(a).weight > facts(b).weight; });
  for (const auto& [kind, count] : wanted)
    for (size_t k = 0; k < count; k++) {
      const size_t i = systems_.size();
      const Place place = k < kPlaces ? by_weight[k] : draw_place(random);
      const AsNumber number{kFirstAsNumber + static_cast<uint32_t>(i)};
      systems_.push_back({.number = number, .kind = kind, .place = place, .v4 = v4_of(i), .v6 = v6_of(i)});
    }
}

const std::vector<IpPrefix>& Topology::extra_global() {
  static const std::vector<IpPrefix> prefixes{*IpPrefix::parse("10.0.0.0/8"), *IpPrefix::parse("198.18.0.0/15"),
                                              *IpPrefix::parse("3fff::/20")};
  return prefixes;
}

const IpPrefix& Topology::carrier_space() {
  static const IpPrefix prefix = *IpPrefix::parse("100.64.0.0/10");
  return prefix;
}

size_t Topology::draw_system(SystemKind kind, Place near, Rng& random) const {
  for (const bool only_near : {true, false}) {
    std::vector<size_t> fitting;
    for (size_t i = 0; i < systems_.size(); i++)
      if (systems_[i].kind == kind && (systems_[i].place == near || !only_near)) fitting.push_back(i);
    if (!fitting.empty()) return fitting[random.below(fitting.size())];
  }
  MV_ASSERT(!systems_.empty());
  return random.below(systems_.size());
}

HostAddresses Topology::assign(size_t system) {
  MV_ASSERT(system < systems_.size());
  AutonomousSystem& s = systems_[system];
  MV_ASSERT(s.hosts < kMostHosts);
  const uint32_t n = s.hosts++;
  // A /48 each, as a home is given, and the first network in it.
  ByteArray<16> b{};
  std::copy(s.v6.address.bytes().begin(), s.v6.address.bytes().end(), b.begin());
  store_be16(&b[4], static_cast<uint16_t>(n + 1));
  b[15] = 1;
  return {IpAddress::v4(s.v4.address.v4_host_order() | spread(n, 256)), IpAddress::v6(b)};
}

IpAddress Topology::address_in(const IpPrefix& prefix, uint32_t n) {
  if (prefix.address.is_v4()) {
    MV_ASSERT(prefix.length < 32 && uint64_t{n} + 2 < uint64_t{1} << (32 - prefix.length));
    return IpAddress::v4(prefix.address.v4_host_order() + n + 1);
  }
  MV_ASSERT(prefix.length <= 96);
  ByteArray<16> b{};
  std::copy(prefix.address.bytes().begin(), prefix.address.bytes().end(), b.begin());
  store_be32(&b[12], n + 1);
  return IpAddress::v6(b);
}

IpAddress Topology::assign_site() {
  MV_ASSERT(sites_ < kMostSites);
  return IpAddress::v4(kSites + spread(sites_++, 512));
}

IpAddress Topology::site6(const IpAddress& site) {
  ByteArray<16> b{0x3f, 0xff, 0x0f, 0xff};
  store_be32(&b[12], site.v4_host_order());
  return IpAddress::v6(b);
}

IpAddress Topology::assign_behind_carrier() {
  MV_ASSERT(behind_carriers_ + 2 < kMostBehindCarriers);
  return IpAddress::v4(kCarrier + ++behind_carriers_);
}

const AutonomousSystem* Topology::system_of(const IpAddress& a) const {
  for (const AutonomousSystem& s : systems_)
    if (s.v4.contains(a) || s.v6.contains(a)) return &s;
  return nullptr;
}

Access Topology::access_of(SystemKind kind) {
  switch (kind) {
    case SystemKind::hosting:
      return Access::datacentre;
    case SystemKind::homes:
      return Access::cable;
    case SystemKind::mobile:
      return Access::mobile;
  }
  return Access::fibre;
}

}  // namespace macrovpn::sim
