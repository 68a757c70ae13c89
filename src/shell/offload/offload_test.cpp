// Cutting and putting together, held against a naive twin and against each other.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "shell/offload/coalesce.h"
#include "shell/offload/naive_twin_test.h"
#include "shell/offload/segment.h"

namespace macrovpn::shell {
namespace {

using testing::InFlow;
using testing::Kind;

std::vector<uint8_t> superpacket(const InFlow& f, size_t payload, uint16_t segment, VirtioHeader& h) {
  std::vector<uint8_t> p = testing::make_packet(f, payload);
  h.flags = VirtioHeader::kNeedsChecksum;
  h.type = f.kind == Kind::udp4 || f.kind == Kind::udp6 ? VirtioHeader::kUdp : testing::is_v4(f.kind) ? VirtioHeader::kTcp4 : VirtioHeader::kTcp6;
  h.segment_size = segment;
  h.checksum_start = static_cast<uint16_t>(testing::ip_header_of(f.kind));
  h.checksum_offset = testing::is_tcp(f.kind) ? 16 : 6;
  return p;
}

std::vector<std::vector<uint8_t>> cut(const VirtioHeader& h, Bytes super) {
  const auto plan = Segmenter::plan(h, super.first(std::min(super.size(), kMaxHeaders)), super.size());
  std::vector<std::vector<uint8_t>> out;
  if (!plan) return out;
  for (size_t i = 0; i < plan->segments(); i++) {
    std::vector<uint8_t> s(super.begin(), super.begin() + static_cast<ptrdiff_t>(plan->header_size()));
    const Bytes payload = super.subspan(plan->header_size() + i * plan->payload_size(), plan->size_of(i) - plan->header_size());
    s.insert(s.end(), payload.begin(), payload.end());
    plan->finish(i, s);
    out.push_back(s);
  }
  return out;
}

class EveryKind : public ::testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Offload, EveryKind, ::testing::Values(Kind::tcp4, Kind::tcp6, Kind::udp4, Kind::udp6));

TEST_P(EveryKind, IsCutIntoPacketsThatStandOnAnyWire) {
  for (const size_t payload : {1u, 999u, 1000u, 1001u, 1999u, 2000u, 40'000u}) {
    InFlow f{.kind = GetParam(), .sequence = 0xfffffff0, .flags = 0x99};  // CWR ACK PSH FIN
    VirtioHeader h;
    const auto super = superpacket(f, payload, 1000, h);
    const auto segments = cut(h, super);
    ASSERT_EQ(segments.size(), (payload + 999) / 1000);
    std::vector<uint8_t> together;
    for (size_t i = 0; i < segments.size(); i++) {
      const auto p = testing::read_packet(segments[i]);
      ASSERT_TRUE(p) << "segment " << i;
      EXPECT_EQ(p->kind, f.kind);
      if (testing::is_tcp(f.kind)) {
        EXPECT_EQ(p->sequence, static_cast<uint32_t>(f.sequence + together.size()));
        EXPECT_EQ(p->flags, 0x10 | (i == 0 ? 0x80 : 0) | (i + 1 == segments.size() ? 0x09 : 0));
      }
      EXPECT_EQ(p->id, testing::is_v4(f.kind) ? f.id + i : 0u);
      together.insert(together.end(), p->payload.begin(), p->payload.end());
    }
    EXPECT_EQ(together, testing::payload_of(f, payload));
  }
}

TEST_P(EveryKind, IsPutTogetherAndCutAgainToTheSameBytes) {
  PacketPool pool;
  const Kind kind = GetParam();
  std::vector<std::vector<uint8_t>> made;
  for (uint32_t i = 0; i < 20; i++) {
    InFlow f{.kind = kind, .sequence = 100 + 1000 * i, .id = static_cast<uint16_t>(7 + i), .salt = i};
    if (i == 19) f.flags |= 0x08;
    made.push_back(testing::make_packet(f, i == 19 ? 300 : 1000));
  }
  std::vector<Packet> batch;
  for (const auto& p : made) batch.push_back(pool.copy_of(p));
  Coalescer c(Coalescer::Udp::together);
  c.plan(batch);
  ASSERT_EQ(c.writes(), 1u);
  EXPECT_EQ(c.packets_of(0), 20u);
  const auto super = testing::joined(c.write(0));
  const VirtioHeader h = VirtioHeader::read(super.data());
  EXPECT_EQ(h.segment_size, 1000);
  EXPECT_EQ(cut(h, Bytes(super).subspan(VirtioHeader::kSize)), made);

  // The kernel would not have it: what came goes, byte by byte.
  std::vector<std::vector<uint8_t>> again;
  for (const iovec& p : c.apart(0)) again.push_back(testing::joined({&p, 1}));
  EXPECT_EQ(again, made);
}

TEST(Coalescer, LeavesApartWhatCuttingWouldNotRestore) {
  const std::vector<uint8_t> first = testing::make_packet({.kind = Kind::tcp4, .sequence = 1}, 1000);
  const InFlow follows{.kind = Kind::tcp4, .sequence = 1001, .id = 2};
  const auto change = [&](auto f) {
    InFlow c = follows;
    f(c);
    return testing::make_packet(c, 1000);
  };
  const auto raw = [&](size_t at, uint8_t with) {
    auto p = testing::make_packet(follows, 1000);
    p[at] ^= with;
    return p;
  };
  const std::map<std::string, std::vector<uint8_t>> others = {
      {"a gap", change([](InFlow& f) { f.sequence++; })},
      {"another acknowledgement", change([](InFlow& f) { f.acknowledgement++; })},
      {"another window", change([](InFlow& f) { f.window++; })},
      {"other options", change([](InFlow& f) { f.timestamp++; })},
      {"SYN", change([](InFlow& f) { f.flags |= 2; })},
      {"FIN", change([](InFlow& f) { f.flags |= 1; })},
      {"RST", change([](InFlow& f) { f.flags |= 4; })},
      {"URG", change([](InFlow& f) { f.flags |= 0x20; })},
      {"ECE", change([](InFlow& f) { f.flags |= 0x40; })},
      {"another port", change([](InFlow& f) { f.port++; })},
      {"another TTL", change([](InFlow& f) { f.ttl--; })},
      {"congestion experienced", change([](InFlow& f) { f.tos = 3; })},
      {"larger than the first", testing::make_packet(follows, 1001)},
      {"without payload", testing::make_packet(follows, 0)},
      {"a wrong checksum", raw(20 + 16, 1)},
      {"a wrong header checksum", raw(10, 1)},
      {"a changed payload", raw(500, 1)},
      {"a fragment", raw(6, 0x20)},
  };
  for (const auto& [what, other] : others) {
    PacketPool pool;
    std::vector<Packet> batch;
    batch.push_back(pool.copy_of(first));
    batch.push_back(pool.copy_of(other));
    Coalescer c;
    c.plan(batch);
    ASSERT_EQ(c.writes(), 2u) << what;
    for (size_t i = 0; i < 2; i++) {
      const auto w = testing::joined(c.write(i));
      EXPECT_EQ(std::vector<uint8_t>(w.begin() + 10, w.end()), i == 0 ? first : other) << what;
      EXPECT_EQ(VirtioHeader::read(w.data()).type, VirtioHeader::kNone) << what;
    }
  }
}

TEST(Coalescer, AShortOrPushedOneIsTheLast) {
  for (const bool is_short : {true, false}) {
    PacketPool pool;
    std::vector<Packet> batch;
    batch.push_back(pool.copy_of(testing::make_packet({.kind = Kind::tcp4, .sequence = 0}, 1000)));
    batch.push_back(pool.copy_of(testing::make_packet(
        {.kind = Kind::tcp4, .sequence = 1000, .flags = static_cast<uint8_t>(is_short ? 0x10 : 0x18), .id = 2}, is_short ? 999 : 1000)));
    batch.push_back(pool.copy_of(testing::make_packet({.kind = Kind::tcp4, .sequence = is_short ? 1999u : 2000u, .id = 3}, 900)));
    Coalescer c;
    c.plan(batch);
    ASSERT_EQ(c.writes(), 2u);
    EXPECT_EQ(c.packets_of(0), 2u);
  }
}

TEST(Coalescer, KeepsTheOrderOfAFlowAndPutsTogetherWhatIsInterleaved) {
  PacketPool pool;
  std::vector<Packet> batch;
  for (uint32_t i = 0; i < 10; i++) {
    for (uint16_t flow = 0; flow < 4; flow++)
      batch.push_back(pool.copy_of(
          testing::make_packet({.kind = Kind::tcp6, .port = static_cast<uint16_t>(1000 + flow), .sequence = 500 * i}, 500)));
    // A pure acknowledgement of flow 0 in the middle of it.
    if (i == 4) batch.push_back(pool.copy_of(testing::make_packet({.kind = Kind::tcp6, .port = 1000, .sequence = 500 * i + 500}, 0)));
  }
  Coalescer c;
  c.plan(batch);
  ASSERT_EQ(c.writes(), 6u);
  std::vector<size_t> counts;
  for (size_t i = 0; i < 6; i++) counts.push_back(c.packets_of(i));
  EXPECT_EQ(counts, (std::vector<size_t>{5, 10, 10, 10, 1, 5}));
}

TEST(Coalescer, NothingPassesAPacketWhoseFlowIsUnknown) {
  PacketPool pool;
  std::vector<Packet> batch;
  auto fragment = testing::make_packet({.kind = Kind::udp4, .id = 2}, 100);
  fragment[6] = 0x20;
  batch.push_back(pool.copy_of(testing::make_packet({.kind = Kind::udp4, .id = 1}, 100)));
  batch.push_back(pool.copy_of(fragment));
  batch.push_back(pool.copy_of(testing::make_packet({.kind = Kind::udp4, .id = 2}, 100)));
  Coalescer c(Coalescer::Udp::together);
  c.plan(batch);
  EXPECT_EQ(c.writes(), 3u);
}

TEST(Coalescer, AnEmptyDatagramKeepsItsPlace) {
  PacketPool pool;
  std::vector<Packet> batch;
  for (const size_t payload : {100u, 0u, 100u})
    batch.push_back(pool.copy_of(testing::make_packet({.kind = Kind::udp6}, payload)));
  Coalescer c(Coalescer::Udp::together);
  c.plan(batch);
  EXPECT_EQ(c.writes(), 3u);
}

TEST(Coalescer, NeverMakesMoreThanAnIpPacketHolds) {
  PacketPool pool;
  std::vector<Packet> batch;
  for (uint32_t i = 0; i < 100; i++)
    batch.push_back(pool.copy_of(testing::make_packet({.kind = Kind::tcp4, .sequence = 1400 * i, .id = static_cast<uint16_t>(i)}, 1400)));
  Coalescer c;
  c.plan(batch);
  ASSERT_EQ(c.writes(), 3u);
  for (size_t i = 0; i < 3; i++) EXPECT_LE(testing::joined(c.write(i)).size(), 0xffffu + VirtioHeader::kSize);
}

TEST(Coalescer, AtTheLimitOfFlowsItStillDeliversAll) {
  PacketPool pool;
  std::vector<Packet> batch;
  for (uint32_t i = 0; i < 3; i++) {
    for (uint16_t flow = 0; flow < 3 * Coalescer::kMostFlows; flow++)
      batch.push_back(pool.copy_of(testing::make_packet({.kind = Kind::tcp4, .port = flow, .sequence = 100 * i}, 100)));
  }
  Coalescer c;
  c.plan(batch);
  size_t all = 0;
  for (size_t i = 0; i < c.writes(); i++) all += c.packets_of(i);
  EXPECT_EQ(all, batch.size());
}

TEST(Segmenter, RefusesHeadersThatContradictThePacket) {
  VirtioHeader good;
  const auto super = superpacket({.kind = Kind::tcp4}, 5000, 1000, good);
  const auto refused = [&](auto change, size_t size) {
    VirtioHeader h = good;
    change(h);
    return !Segmenter::plan(h, Bytes(super).first(std::min(size, kMaxHeaders)), size);
  };
  EXPECT_FALSE(refused([](auto&) {}, super.size()));
  EXPECT_TRUE(refused([](auto& h) { h.segment_size = 0; }, super.size()));
  EXPECT_TRUE(refused([](auto& h) { h.segment_size = 1; }, super.size()));  // more than kMostSegments
  EXPECT_FALSE(refused([](auto& h) { h.segment_size = 5; }, super.size()));
  EXPECT_TRUE(refused([](auto& h) { h.checksum_start = 19; }, super.size()));
  EXPECT_TRUE(refused([](auto& h) { h.checksum_start = 60'000; }, super.size()));
  EXPECT_TRUE(refused([](auto& h) { h.type = VirtioHeader::kTcp6; }, super.size()));
  EXPECT_TRUE(refused([](auto& h) { h.type = 3; }, super.size()));
  EXPECT_TRUE(refused([](auto&) {}, 52));  // headers alone
  EXPECT_TRUE(refused([](auto&) {}, 30));
}

TEST(CompleteChecksum, IsThatOfThePacket) {
  for (const Kind k : {Kind::tcp4, Kind::udp6}) {
    const auto whole = testing::make_packet({.kind = k}, 777);
    auto partial = whole;
    const size_t at = testing::ip_header_of(k);
    const VirtioHeader h{VirtioHeader::kNeedsChecksum, 0, 0, 0, static_cast<uint16_t>(at), static_cast<uint16_t>(testing::is_tcp(k) ? 16 : 6)};
    testing::make_partial(partial, k);
    ASSERT_NE(partial, whole);
    EXPECT_TRUE(complete_checksum(h, partial));
    EXPECT_EQ(partial, whole);
    const VirtioHeader outside{VirtioHeader::kNeedsChecksum, 0, 0, 0, 60'000, 16};
    EXPECT_FALSE(complete_checksum(outside, partial));
  }
}

}  // namespace
}  // namespace macrovpn::shell
