#include "sim/net/topology.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "model/special_purpose.h"

namespace macrovpn::sim {
namespace {

TEST(Topology, SystemsHavePrefixesOfTheirOwnThatCountAsGlobalInThisWorldAlone) {
  SeededRng random(1);
  Topology world({.hosting = 100, .homes = 100, .mobile = 55}, random);
  ASSERT_EQ(world.systems().size(), Topology::kMostSystems);
  std::set<IpPrefix> seen;
  const IpPrefix tunnels = *IpPrefix::parse("10.10.0.0/16");
  for (const AutonomousSystem& s : world.systems()) {
    EXPECT_TRUE(seen.insert(s.v4).second && seen.insert(s.v6).second);
    EXPECT_NE(s.v4, tunnels);
    for (const IpPrefix& p : {s.v4, s.v6}) {
      EXPECT_TRUE(is_global_unicast(p.address, Topology::extra_global()));
      EXPECT_FALSE(is_global_unicast(p.address));
      EXPECT_EQ(world.system_of(p.address), &s);
    }
  }
}

TEST(Topology, HostsOfASystemHaveAddressesOfTheirOwnSpreadOverItsNetworks) {
  SeededRng random(1);
  Topology world({.hosting = 1, .homes = 0, .mobile = 0}, random);
  std::set<IpAddress> seen;
  std::map<IpPrefix, int> per_24;
  for (int i = 0; i < 512; i++) {
    const HostAddresses host = world.assign(0);
    EXPECT_TRUE(seen.insert(host.v4).second && seen.insert(host.v6).second);
    EXPECT_TRUE(world.systems()[0].v4.contains(host.v4) && world.systems()[0].v6.contains(host.v6));
    per_24[IpPrefix::of(host.v4, 24)]++;
  }
  for (const auto& [prefix, hosts] : per_24) EXPECT_EQ(hosts, 2);
}

TEST(Topology, ASystemHoldsAsManyHostsAsItSays) {
  SeededRng random(1);
  Topology world({.hosting = 1, .homes = 0, .mobile = 0}, random);
  HostAddresses last;
  for (uint32_t i = 0; i < Topology::kMostHosts; i++) last = world.assign(0);
  EXPECT_EQ(last.v4, *IpAddress::parse("10.0.255.254"));
  EXPECT_DEATH(world.assign(0), "kMostHosts");
}

TEST(Topology, SitesAreGlobalAndWhatIsBehindACarrierIsNot) {
  SeededRng random(1);
  Topology world({}, random);
  const IpAddress site = world.assign_site(), other = world.assign_site(), home = world.assign_behind_carrier();
  EXPECT_NE(site, other);
  EXPECT_TRUE(IpPrefix::parse("198.18.0.0/15")->contains(other));
  EXPECT_TRUE(is_global_unicast(site, Topology::extra_global()));
  EXPECT_FALSE(is_global_unicast(home, Topology::extra_global()));
  EXPECT_TRUE(Topology::carrier_space().contains(home));
  EXPECT_EQ(world.system_of(site), nullptr);
}

TEST(Topology, AFloodMayBePackedIntoOnePrefix) {
  const IpPrefix rented = *IpPrefix::parse("10.9.8.0/24"), rented6 = *IpPrefix::parse("3fff:9:8::/48");
  EXPECT_EQ(Topology::address_in(rented, 0), *IpAddress::parse("10.9.8.1"));
  EXPECT_EQ(Topology::address_in(rented, 253), *IpAddress::parse("10.9.8.254"));
  EXPECT_DEATH((void)Topology::address_in(rented, 254), "length");
  EXPECT_EQ(Topology::address_in(rented6, 6), *IpAddress::parse("3fff:9:8::7"));
}

TEST(Topology, DrawsASystemOfTheKindAndNearIfThereIsOne) {
  SeededRng random(1);
  Topology world({}, random);
  for (int i = 0; i < 50; i++) {
    const AutonomousSystem& near = world.systems()[world.draw_system(SystemKind::homes, Place::tokyo, random)];
    EXPECT_EQ(near.kind, SystemKind::homes);
    EXPECT_EQ(near.place, Place::tokyo);
    // Eight mobile systems, thirteen places: the last ones have none.
    EXPECT_EQ(world.systems()[world.draw_system(SystemKind::mobile, Place::lagos, random)].kind, SystemKind::mobile);
  }
}

TEST(Topology, TheSameSeedMakesTheSameWorld) {
  SeededRng a(5), b(5);
  const Topology first({}, a), second({}, b);
  for (size_t i = 0; i < first.systems().size(); i++) EXPECT_EQ(first.systems()[i].place, second.systems()[i].place);
}

}  // namespace
}  // namespace macrovpn::sim
