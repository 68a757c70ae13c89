// Against routers that behave as the RFCs say, and some that do not; real ones in tests/e2e/port_mapping_test.py.
#include "core/discovery/port_mapper.h"

#include <gtest/gtest.h>

namespace macrovpn::discovery {
namespace {

namespace pc = port_control;
using Buffer = std::vector<uint8_t>;
using State = PortMapping::State;
const IpAddress kRouter = *IpAddress::parse("192.168.1.1"), kUs = *IpAddress::parse("192.168.1.2");
const IpAddress kOutside = *IpAddress::parse("203.0.113.10");

// The bytes as RFC 6887 figures 2, 3, 9 and 10 and RFC 6886 §3.3 draw them.
TEST(PortControl, WritesAsTheRfcsDraw) {
  const pc::Wish w{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, kUs, 51820, 51821, 3600};
  EXPECT_EQ(to_hex(pc::write_pcp_map(w)),
            "0201000000000e10" "00000000000000000000ffffc0a80102" "0102030405060708090a0b0c" "11000000" "ca6cca6d"
            "00000000000000000000ffff00000000");
  EXPECT_EQ(to_hex(pc::write_nat_pmp_map(w)), "00010000ca6cca6d00000e10");
  pc::Wish gone = w;
  gone.lifetime = 0;
  EXPECT_EQ(to_hex(pc::write_nat_pmp_map(gone)), "00010000ca6c000000000000");
  EXPECT_EQ(to_hex(pc::write_nat_pmp_address()), "0000");
  EXPECT_EQ(pc::write_pcp_announce(kUs).size(), 24u);
}

TEST(PortControl, ReadsAsTheRfcsDraw) {
  const auto map = pc::read(*from_hex("0281000000000e10" "00000064" "000000000000000000000000" "0102030405060708090a0b0c" "11000000" "ca6cca6d"
                                      "00000000000000000000ffffcb00710a"));
  ASSERT_TRUE(map);
  EXPECT_EQ(map->what, pc::Told::What::mapping);
  EXPECT_EQ(map->lifetime, 3600u);
  EXPECT_EQ(map->epoch, 100u);
  EXPECT_EQ(map->outside_port, 51821);
  EXPECT_EQ(map->outside, kOutside);
  const auto pmp = pc::read(*from_hex("0081000000000064ca6cca6d00000e10"));
  ASSERT_TRUE(pmp);
  EXPECT_EQ(pmp->protocol, pc::Protocol::nat_pmp);
  EXPECT_EQ(pmp->outside_port, 51821);
  const auto address = pc::read(*from_hex("0080000000000064cb00710a"));
  ASSERT_TRUE(address);
  EXPECT_EQ(address->outside, kOutside);
  const auto old = pc::read(*from_hex("0081000100000064"));  // to PCP, by one that speaks NAT-PMP alone
  ASSERT_TRUE(old);
  EXPECT_EQ(old->what, pc::Told::What::refusal);
  EXPECT_EQ(old->result, pc::kUnsupportedVersion);
}

TEST(PortControl, RefusesWhatIsCutOffOrNotAnAnswer) {
  for (const char* text : {"0281000000000e1000000064000000000000000000000000" "0102030405060708090a0b0c" "11000000" "ca6cca6d"
                           "00000000000000000000ffffcb00710a",
                           "0081000000000064ca6cca6d00000e10", "0080000000000064cb00710a"}) {
    const Buffer whole = *from_hex(text);
    ASSERT_TRUE(pc::read(whole));
    for (size_t n = 0; n < whole.size(); n++) EXPECT_FALSE(pc::read(Bytes(whole).first(n))) << text << " " << n;
    Buffer request = whole;
    request[1] &= 0x7f;
    EXPECT_FALSE(pc::read(request));
  }
  EXPECT_FALSE(pc::read(Buffer(1101, 2)));
}

struct Home {
  bool pcp = true, nat_pmp = true, upnp = true, alive = true;
  std::optional<unsigned> pcp_result;
  uint32_t lease = 3600;
  Mono booted{100s};
  int asked_pcp = 0, asked_pmp = 0, asked_upnp = 0, removed = 0;
  SeededRng rng{1};
  PortMapper mapper{{kRouter, kUs, 51820}, rng};
  Mono now{1000s};
  Endpoint router{kRouter, pc::kRouterPort};
  pc::Nonce nonce{};

  uint32_t epoch() const { return static_cast<uint32_t>((now - booted) / 1s); }
  Buffer pcp_answer(uint8_t op, unsigned result, uint32_t lifetime, Bytes map) const {
    Buffer b;
    Writer(b).u8(2).u8(static_cast<uint8_t>(0x80 | op)).u8(0).u8(static_cast<uint8_t>(result)).be32(lifetime).be32(epoch()).zeros(12).bytes(map);
    return b;
  }
  Buffer outside6() const {
    Buffer b;
    Writer(b).zeros(10).be16(0xffff).bytes(kOutside.bytes());
    return b;
  }
  void on_pcp(const Buffer& d) {
    if (d[1] == 0) return mapper.on_datagram(now, router, pcp_answer(0, 0, 0, {}));
    asked_pcp++;
    const uint32_t lifetime = load_be32(&d[4]);
    if (lifetime == 0) removed++;
    nonce = *to_array<12>(Bytes(d).subspan(24, 12));
    Buffer map(d.begin() + 24, d.begin() + 44);
    const Buffer outside = outside6();
    map.insert(map.end(), outside.begin(), outside.end());
    mapper.on_datagram(now, router, pcp_answer(1, pcp_result.value_or(0), std::min(lease, lifetime), map));
  }
  void on_pmp(const Buffer& d) {
    Buffer b;
    if (d[1] == 0) {
      Writer(b).u8(0).u8(0x80).be16(0).be32(epoch()).bytes(kOutside.bytes());
    } else {
      asked_pmp++;
      const uint32_t lifetime = load_be32(&d[8]);
      if (lifetime == 0) removed++;
      Writer(b).u8(0).u8(0x81).be16(0).be32(epoch()).bytes(Bytes(d).subspan(4, 4)).be32(std::min(lease, lifetime));
    }
    mapper.on_datagram(now, router, b);
  }
  void answer(const Buffer& d) {
    if (!alive) return;
    if (d[0] == 2 && pcp) on_pcp(d);
    else if (d[0] == 2 && nat_pmp) {
      Buffer b;
      Writer(b).u8(0).u8(0x81).be16(pc::kUnsupportedVersion).be32(epoch());
      mapper.on_datagram(now, router, b);
    } else if (d[0] == 0 && nat_pmp) on_pmp(d);
  }
  void serve() {
    for (auto out = mapper.take_datagrams(); !out.empty(); out = mapper.take_datagrams()) {
      for (const Buffer& d : out) answer(d);
    }
    if (const auto wish = mapper.take_upnp()) {
      asked_upnp++;
      if (wish->what == UpnpWish::What::remove) removed++;
      else if (upnp && alive) mapper.on_upnp(now, {UpnpTold::What::added, wish->wanted_port, kOutside});
      else mapper.on_upnp(now, {UpnpTold::What::no_router, 0, {}});
    }
  }
  void run_for(Duration d) {
    const Mono end = now + d;
    serve();
    for (int steps = 0; mapper.next_deadline() <= end; steps++) {
      ASSERT_LT(steps, 20'000) << "it asks without end";
      now = std::max(now, mapper.next_deadline());
      mapper.on_deadline(now);
      serve();
    }
    now = end;
  }
  void open() {
    mapper.start(now);
    run_for(30s);
    ASSERT_EQ(mapper.mapping().state, State::open);
  }
};

TEST(PortMapper, TakesTheFirstThatTheRouterSpeaks) {
  for (const auto& [pcp, pmp, upnp, by] : {std::tuple{true, true, true, MappedBy::pcp}, {false, true, true, MappedBy::nat_pmp},
                                           {false, false, true, MappedBy::upnp}}) {
    Home h;
    h.pcp = pcp, h.nat_pmp = pmp, h.upnp = upnp;
    h.open();
    EXPECT_EQ(h.mapper.mapping().by, by);
    EXPECT_EQ(h.mapper.mapping().outside_port, 51820);
    EXPECT_EQ(h.mapper.mapping().outside_address, kOutside);
    h.mapper.stop();
    h.serve();
    EXPECT_EQ(h.removed, 1);
    EXPECT_EQ(h.mapper.next_deadline(), kNever);
  }
}

TEST(PortMapper, ASilentRouterIsGivenUpAndTriedAgainLater) {
  Home h;
  h.alive = false;
  h.mapper.start(h.now);
  h.run_for(10s);
  EXPECT_EQ(h.mapper.mapping().state, State::failed);
  EXPECT_FALSE(h.mapper.mapping().refused);
  h.alive = true;
  h.run_for(PortMapper::kRetry);
  EXPECT_EQ(h.mapper.mapping().state, State::open);
}

TEST(PortMapper, OnlyARefusalOfItsOwnQuestionEndsAMapping) {
  Home h;
  h.open();
  ASSERT_EQ(h.mapper.mapping().by, MappedBy::pcp);
  // A router that maps and does not announce (UNSUPP_OPCODE), and somebody on the LAN who never saw the question.
  h.mapper.on_datagram(h.now, h.router, h.pcp_answer(0, 4, 0, {}));
  EXPECT_EQ(h.mapper.mapping().state, State::open);
  Buffer map(20);
  const Buffer outside = h.outside6();
  map.insert(map.end(), outside.begin(), outside.end());
  map[12] = 17;  // UDP
  h.mapper.on_datagram(h.now, h.router, h.pcp_answer(1, 2, 0, map));
  h.run_for(10s);
  EXPECT_EQ(h.mapper.mapping().state, State::open);
  EXPECT_EQ(h.mapper.mapping().by, MappedBy::pcp);
  EXPECT_EQ(h.asked_pcp, 1);
  // Its own, with the nonce: it is over.
  std::copy(h.nonce.begin(), h.nonce.end(), map.begin());
  h.pcp = h.nat_pmp = h.upnp = false;
  h.mapper.on_datagram(h.now, h.router, h.pcp_answer(1, 2, 0, map));
  h.run_for(20s);
  EXPECT_NE(h.mapper.mapping().by, MappedBy::pcp);
}

TEST(PortMapper, RenewsAtHalfOfWhatItWasGiven) {
  Home h;
  h.open();
  EXPECT_EQ(h.asked_pcp, 1);
  h.run_for(1760s);
  EXPECT_EQ(h.asked_pcp, 1);
  h.run_for(20s);
  EXPECT_EQ(h.asked_pcp, 2);
  EXPECT_EQ(h.mapper.mapping().renewed, 1u);
  Home brief;
  brief.lease = 120;
  brief.open();
  brief.run_for(600s);
  EXPECT_GE(brief.asked_pcp, 10);
}

TEST(PortMapper, AMappingIsKeptThroughSilenceUntilItsLeaseEnds) {
  Home h;
  h.open();
  h.alive = false;
  h.run_for(3500s);
  EXPECT_EQ(h.mapper.mapping().state, State::open);
  h.run_for(200s);
  EXPECT_NE(h.mapper.mapping().state, State::open);
  h.alive = true;
  h.run_for(PortMapper::kRetry + 10s);
  EXPECT_EQ(h.mapper.mapping().state, State::open);
}

TEST(PortMapper, CountsTheChecksThatNobodyAnswered) {
  Home h;
  h.open();
  h.run_for(200s);
  EXPECT_EQ(h.mapper.mapping().silent, 0u);
  h.alive = false;
  h.run_for(PortMapper::kUsualCheck * 3);
  EXPECT_GE(h.mapper.mapping().silent, 2u);
  EXPECT_LE(h.mapper.mapping().silent, 3u);
  h.alive = true;
  h.run_for(PortMapper::kUsualCheck + 1s);
  EXPECT_EQ(h.mapper.mapping().silent, 0u);
}

// Somebody on the LAN who takes the router's address has the router asked no oftener than a router could that gives short leases.
TEST(PortMapper, ForgedRestartsHaveTheRouterAskedSeldom) {
  Home h;
  h.open();
  h.run_for(300s);
  const int before = h.asked_pcp;
  for (int i = 0; i < 6'000; i++) {
    Buffer forged = h.pcp_answer(0, 0, 0, {});
    store_be32(&forged[8], i % 2 == 0 ? 5'000'000 : 0);
    h.mapper.on_datagram(h.now, h.router, forged);
    h.serve();
    h.run_for(10ms);
  }
  EXPECT_GE(h.asked_pcp - before, 10) << "it could be true";
  EXPECT_LE(h.asked_pcp - before, 16) << "a minute";
}

TEST(PortMapper, ARestartOfTheRouterIsNoticedWithinTheCheckOrAtOnceIfAnnounced) {
  for (const bool pcp : {true, false}) {
    Home h;
    h.pcp = pcp;
    h.open();
    h.run_for(300s);
    const int before = h.asked_pcp + h.asked_pmp;
    EXPECT_EQ(before, 1) << "its epoch went on as it should";
    h.booted = h.now;
    h.run_for(PortMapper::kUsualCheck + 1s);
    EXPECT_EQ(h.asked_pcp + h.asked_pmp, before + 1);
    EXPECT_EQ(h.mapper.mapping().restarts, 1u);
    h.run_for(5s);
    h.booted = h.now;
    if (pcp) h.mapper.on_datagram(h.now, h.router, h.pcp_answer(0, 0, 0, {}));
    else h.on_pmp({0, 0});
    h.serve();
    EXPECT_EQ(h.asked_pcp + h.asked_pmp, before + 2) << "announced";
    h.run_for(600s);
    EXPECT_EQ(h.mapper.mapping().restarts, 2u);
  }
}

TEST(PortMapper, BelievesOnlyTheRouterAndOnlyItsOwnNonce) {
  Home h;
  h.mapper.start(h.now);
  static_cast<void>(h.mapper.take_datagrams());
  const auto answer = [&](const pc::Nonce& nonce) {
    Buffer map;
    const Buffer outside = h.outside6();
    Writer(map).bytes(nonce).u8(17).zeros(3).be16(51820).be16(7777).bytes(outside);
    return h.pcp_answer(1, 0, 3600, map);
  };
  h.mapper.on_datagram(h.now, h.router, answer({}));
  EXPECT_EQ(h.mapper.mapping().state, State::asking) << "another nonce";
  Home twin;  // the same seed: the same nonce
  twin.mapper.start(twin.now);
  twin.serve();
  ASSERT_EQ(twin.mapper.mapping().state, State::open);
  for (const char* from : {"192.168.1.9:5351", "192.168.1.1:5350"}) h.mapper.on_datagram(h.now, *Endpoint::parse(from), answer(twin.nonce));
  EXPECT_EQ(h.mapper.mapping().state, State::asking) << "another place";
  h.mapper.on_datagram(h.now, h.router, answer(twin.nonce));
  EXPECT_EQ(h.mapper.mapping().state, State::open);
}

TEST(PortMapper, ARefusalIsTakenAtItsWordAndTheNextWayIsTried) {
  Home h;
  h.pcp_result = 2;  // NOT_AUTHORIZED
  h.open();
  EXPECT_EQ(h.mapper.mapping().by, MappedBy::nat_pmp);
  EXPECT_EQ(h.asked_pcp, 1);
  Home none;
  none.pcp_result = 2;
  none.nat_pmp = none.upnp = false;
  none.mapper.start(none.now);
  none.run_for(20s);
  EXPECT_EQ(none.mapper.mapping().state, State::failed);
  EXPECT_TRUE(none.mapper.mapping().refused);
}

TEST(PortMapper, AMappingByUpnpIsAskedForAgainAtEveryCheck) {
  Home h;
  h.pcp = h.nat_pmp = false;
  h.open();
  const int before = h.asked_upnp;
  h.run_for(10 * PortMapper::kUsualCheck);
  EXPECT_EQ(h.asked_upnp, before + 10);
}

}  // namespace
}  // namespace macrovpn::discovery
