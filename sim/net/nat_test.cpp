#include "sim/net/nat.h"

#include <gtest/gtest.h>

namespace macrovpn::sim {
namespace {

constexpr Mono kStart{100s};

IpAddress ip(std::string_view text) {
  return *IpAddress::parse(text);
}
Endpoint at(std::string_view text) {
  return *Endpoint::parse(text);
}

const IpAddress kOutside = ip("10.7.0.9");
const Endpoint kHost = at("192.168.1.2:5000"), kOther = at("192.168.1.3:5000");
const Endpoint kA = at("10.1.0.1:700"), kASecondPort = at("10.1.0.1:701"), kB = at("10.2.0.1:700");

struct Box {
  explicit Box(const NatModel& model) : nat(model, kOutside, random) {}
  // The outside port that the remote sees.
  uint16_t out(Mono now, const Endpoint& from, const Endpoint& to) {
    const auto got = nat.from_inside(now, from, to);
    nat.check_invariants();
    if (!got) return 0;
    EXPECT_EQ(got->source.address, nat.outside());
    EXPECT_EQ(got->destination, to);
    return got->source.port;
  }
  Result<Translated, NatDrop> in(Mono now, const Endpoint& from, uint16_t port) {
    return nat.from_outside(now, from, {nat.outside(), port});
  }
  bool reaches(Mono now, const Endpoint& from, uint16_t port, const Endpoint& host) {
    const auto got = in(now, from, port);
    return got && got->to_inside && got->destination == host && got->source == from;
  }

  SeededRng random{1};
  Nat nat;
};

TEST(Nat, MapsAsRfc4787Section41Says) {
  struct Row {
    NatDependence mapping;
    bool same_for_second_port, same_for_second_address;
  };
  for (const Row& row : {Row{NatDependence::endpoint_independent, true, true}, Row{NatDependence::address_dependent, true, false},
                         Row{NatDependence::address_and_port_dependent, false, false}}) {
    Box box({.mapping = row.mapping, .ports = NatPorts::sequential});
    const uint16_t first = box.out(kStart, kHost, kA);
    EXPECT_EQ(box.out(kStart, kHost, kA), first);
    EXPECT_EQ(box.out(kStart, kHost, kASecondPort) == first, row.same_for_second_port);
    EXPECT_EQ(box.out(kStart, kHost, kB) == first, row.same_for_second_address);
  }
}

TEST(Nat, FiltersAsRfc4787Section5Says) {
  struct Row {
    NatDependence filtering;
    bool second_port, second_address;
  };
  for (const Row& row : {Row{NatDependence::endpoint_independent, true, true}, Row{NatDependence::address_dependent, true, false},
                         Row{NatDependence::address_and_port_dependent, false, false}}) {
    Box box({.filtering = row.filtering});
    const uint16_t port = box.out(kStart, kHost, kA);
    EXPECT_TRUE(box.reaches(kStart, kA, port, kHost));
    EXPECT_EQ(box.reaches(kStart, kASecondPort, port, kHost), row.second_port);
    EXPECT_EQ(box.reaches(kStart, kB, port, kHost), row.second_address);
  }
}

TEST(Nat, LetsNobodyInWhoseHostDidNotSpeak) {
  Box box(NatModel::full_cone());
  EXPECT_EQ(box.in(kStart, kA, 5000).error(), NatDrop::no_mapping);
}

TEST(Nat, AMappingLapsesAfterItsTimeAndIsRefreshedByPacketsOutAlone) {
  Box box({.filtering = NatDependence::endpoint_independent, .timeout = 30s});
  const uint16_t port = box.out(kStart, kHost, kA);
  EXPECT_TRUE(box.reaches(kStart + 29s, kA, port, kHost));
  EXPECT_EQ(box.in(kStart + 30s, kA, port).error(), NatDrop::no_mapping);
  EXPECT_EQ(box.out(kStart + 40s, kHost, kA), port);
  EXPECT_EQ(box.out(kStart + 60s, kHost, kB), port);
  EXPECT_TRUE(box.reaches(kStart + 89s, kA, port, kHost));
}

TEST(Nat, PacketsInKeepAMappingWhereTheBoxSaysSo) {
  Box box({.timeout = 30s});
  Box kind({.refresh = NatRefresh::outbound_and_inbound, .timeout = 30s});
  const uint16_t port = box.out(kStart, kHost, kA), kind_port = kind.out(kStart, kHost, kA);
  for (Mono now = kStart; now < kStart + 60s; now += 10s) {
    EXPECT_EQ(box.reaches(now, kA, port, kHost), now < kStart + 30s);
    EXPECT_TRUE(kind.reaches(now, kA, kind_port, kHost));
  }
}

TEST(Nat, APermitLapsesEvenIfItsMappingLives) {
  Box box({.timeout = 30s});
  const uint16_t port = box.out(kStart, kHost, kA);
  box.out(kStart + 20s, kHost, kB);
  EXPECT_TRUE(box.reaches(kStart + 35s, kB, port, kHost));
  EXPECT_EQ(box.in(kStart + 35s, kA, port).error(), NatDrop::filtered);
}

TEST(Nat, PreservesPortsWhereItCan) {
  Box box({.ports = NatPorts::preserved});
  EXPECT_EQ(box.out(kStart, kHost, kA), 5000);
  EXPECT_EQ(box.out(kStart, kOther, kA), 5001);  // taken: the next one
  EXPECT_EQ(box.out(kStart, at("192.168.1.4:53"), kA), 1024);  // below those that it gives
}

TEST(Nat, CountsPortsOrDrawsThem) {
  Box counts({.ports = NatPorts::sequential, .first_port = 2000, .last_port = 2002});
  std::vector<uint16_t> got;
  for (uint16_t i = 0; i < 4; i++) got.push_back(counts.out(kStart, {kHost.address, static_cast<uint16_t>(100 + i)}, kA));
  EXPECT_EQ(got, (std::vector<uint16_t>{2000, 2001, 2002, 0}));
  EXPECT_EQ(counts.nat.counters().dropped_for(NatDrop::no_port), 1u);
  Box draws({.ports = NatPorts::random});
  EXPECT_NE(draws.out(kStart, kHost, kA), 5000);
}

TEST(Nat, TheMappingUsedLongestAgoMakesRoom) {
  Box box({.most_mappings = 2});
  const Endpoint third = at("192.168.1.4:6000");
  const uint16_t first = box.out(kStart, kHost, kA), second = box.out(kStart + 1s, kOther, kA);
  box.out(kStart + 2s, kHost, kA);
  const uint16_t new_one = box.out(kStart + 3s, third, kA);
  EXPECT_TRUE(box.reaches(kStart + 4s, kA, first, kHost));
  EXPECT_EQ(box.in(kStart + 4s, kA, second).error(), NatDrop::no_mapping);
  EXPECT_TRUE(box.reaches(kStart + 4s, kA, new_one, third));
  EXPECT_EQ(box.nat.counters().evicted, 1u);
  EXPECT_EQ(box.nat.mappings(), 2u);
}

TEST(Nat, TheRemoteSentToLongestAgoMakesRoom) {
  Box box({.most_remotes = 2});
  const uint16_t port = box.out(kStart, kHost, kA);
  box.out(kStart, kHost, kB);
  box.out(kStart, kHost, kA);
  box.out(kStart, kHost, kASecondPort);
  EXPECT_TRUE(box.reaches(kStart, kA, port, kHost));
  EXPECT_FALSE(box.reaches(kStart, kB, port, kHost));
}

TEST(Nat, AHostHasNoMoreThanItsShare) {
  Box box({.mapping = NatDependence::address_and_port_dependent, .timeout = 30s, .most_per_host = 2});
  EXPECT_NE(box.out(kStart, kHost, kA), 0);
  EXPECT_NE(box.out(kStart, kHost, kB), 0);
  EXPECT_EQ(box.out(kStart, kHost, kASecondPort), 0);
  EXPECT_NE(box.out(kStart, kOther, kASecondPort), 0);
  EXPECT_EQ(box.nat.counters().dropped_for(NatDrop::host_limit), 1u);
  EXPECT_NE(box.out(kStart + 30s, kHost, kASecondPort), 0);  // the others have lapsed
}

TEST(Nat, HairpinsWhereItIsToldTo) {
  Box stiff(NatModel::full_cone());
  NatModel model = NatModel::full_cone();
  model.hairpin = NatHairpin::yes;
  Box box(model);
  for (Box* each : {&stiff, &box}) each->out(kStart, kOther, kA);
  EXPECT_EQ(stiff.nat.from_inside(kStart, kHost, {kOutside, 5000}).error(), NatDrop::not_hairpin);
  const auto got = box.nat.from_inside(kStart, kHost, {kOutside, 5000});
  ASSERT_TRUE(got);
  EXPECT_TRUE(got->to_inside);
  EXPECT_EQ(got->destination, kOther);
  EXPECT_EQ(got->source, (Endpoint{kOutside, 5001}));  // REQ-9: the caller's outside endpoint
}

TEST(Nat, ARebootForgetsEveryMapping) {
  Box box(NatModel::full_cone());
  const uint16_t port = box.out(kStart, kHost, kA);
  box.nat.reboot(ip("10.7.0.10"));
  EXPECT_EQ(box.in(kStart, kA, port).error(), NatDrop::no_mapping);
  EXPECT_EQ(box.nat.mappings(), 0u);
  EXPECT_NE(box.out(kStart, kHost, kA), 0);
  EXPECT_EQ(box.nat.outside(), ip("10.7.0.10"));
}

TEST(Nat, TwoInARowAreACarriers) {
  SeededRng random(1);
  Nat home(NatModel::full_cone(), ip("100.64.0.5"), random);
  NatModel shared = NatModel::restricted();
  shared.ports = NatPorts::random;
  Nat carrier(shared, kOutside, random);
  const auto first = home.from_inside(kStart, kHost, kA);
  ASSERT_TRUE(first);
  const auto second = carrier.from_inside(kStart, first->source, first->destination);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->source.address, kOutside);
  const auto back = carrier.from_outside(kStart, kA, second->source);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->destination, first->source);
  const auto home_again = home.from_outside(kStart, back->source, back->destination);
  ASSERT_TRUE(home_again);
  EXPECT_EQ(home_again->destination, kHost);
  EXPECT_EQ(home_again->source, kA);
  EXPECT_EQ(carrier.from_outside(kStart, kB, second->source).error(), NatDrop::filtered);
}

// Under random operations it does what a slow twin does that remembers everything.
TEST(Nat, AgreesWithANaiveTwin) {
  SeededRng random(9);
  for (const NatDependence filtering : {NatDependence::endpoint_independent, NatDependence::address_dependent,
                                        NatDependence::address_and_port_dependent}) {
    Box box({.filtering = filtering, .timeout = 20s});
    struct Spoke {
      Endpoint host, remote;
      uint16_t port;
      Mono when;
    };
    std::vector<Spoke> spoken;
    const auto alive = [&](const Spoke& s, Mono now) { return s.when + 20s > now; };
    Mono now = kStart;
    for (int i = 0; i < 3000; i++) {
      now += random.between(1ms, 2s);
      const Endpoint host{ip("192.168.1.2"), static_cast<uint16_t>(3000 + random.below(4))};
      const Endpoint remote{random.below(2) == 0 ? kA.address : kB.address, static_cast<uint16_t>(700 + random.below(3))};
      if (random.below(2) == 0) {
        const uint16_t port = box.out(now, host, remote);
        for (const Spoke& s : spoken)
          EXPECT_TRUE(!alive(s, now) || (s.port == port) == (s.host == host));
        spoken.push_back({host, remote, port, now});
        continue;
      }
      const auto port = static_cast<uint16_t>(3000 + random.below(4));
      const bool expected = std::any_of(spoken.begin(), spoken.end(), [&](const Spoke& s) {
        if (s.port != port || !alive(s, now)) return false;
        if (filtering == NatDependence::endpoint_independent) return true;
        return s.remote.address == remote.address &&
               (filtering == NatDependence::address_dependent || s.remote.port == remote.port);
      });
      EXPECT_EQ(box.in(now, remote, port).ok(), expected) << i;
    }
  }
}

}  // namespace
}  // namespace macrovpn::sim
