#include "core/routing/frames.h"

#include <gtest/gtest.h>

namespace macrovpn::routing {
namespace {

TEST(Frames, SortPayloadsByTheirFirstByte) {
  std::vector<uint8_t> p(32);
  const std::pair<uint8_t, PayloadKind> cases[] = {
      {0x45, PayloadKind::ip},      {0x60, PayloadKind::ip},      {0x01, PayloadKind::relayed},
      {0x04, PayloadKind::relayed}, {0x10, PayloadKind::control}, {0x3f, PayloadKind::control},
      {0x00, PayloadKind::unknown}, {0x05, PayloadKind::unknown}, {0x50, PayloadKind::unknown},
      {0xff, PayloadKind::unknown}};
  for (const auto& [first, kind] : cases) {
    p[0] = first;
    EXPECT_EQ(kind_of(p), kind) << int{first};
  }
  EXPECT_EQ(kind_of({}), PayloadKind::keepalive);
  p.resize(16);
  p[0] = 4;
  EXPECT_EQ(kind_of(p), PayloadKind::unknown);
}

TEST(Frames, ReadSeveralFramesUpToThePadding) {
  std::vector<uint8_t> p = write_close({3});
  const auto ping = write_ping(FrameType::ping, {7, 20});
  p.insert(p.end(), ping.begin(), ping.end());
  p.resize(64);
  FrameReader r(p);
  EXPECT_EQ(read_close(r.next()->body)->value, 3u);
  const auto second = read_ping(r.next()->body);
  EXPECT_EQ(second->id, 7u);
  EXPECT_EQ(second->padding, 20u);
  EXPECT_FALSE(r.next());
  EXPECT_FALSE(r.malformed());
}

TEST(Frames, ACallAndItsAnswerComeBackAsTheyWere) {
  const std::vector<uint8_t> descriptor(300, 7);
  const auto dial = write_dial({12, descriptor});
  const auto read = read_dial(FrameReader(dial).next()->body);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->number, 12u);
  EXPECT_TRUE(equal(read->descriptor, descriptor));
  const auto dialed = write_dialed({9, DialAnswer::busy});
  const auto answer = read_dialed(FrameReader(dialed).next()->body);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->number, 9u);
  EXPECT_EQ(answer->answer, DialAnswer::busy);
  std::vector<uint8_t> bad(9, 3);
  EXPECT_FALSE(read_dialed(bad));
}

TEST(Frames, MeasurementsComeBackAsTheyWere) {
  MeasureFrame m{0x0102030405060708, 2951, 12'500'000, {}};
  m.signature.fill(7);
  const auto asked = write_measure(m);
  EXPECT_EQ(to_hex(Bytes(asked).first(17)), "304e00" "0102030405060708" "870b" "20bcbe00");
  const auto read = read_measure(FrameReader(asked).next()->body);
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->measurer == m.measurer && read->week == m.week && read->rate == m.rate && read->signature == m.signature);
  using Kind = MeasureOkFrame::Kind;
  const auto over = read_measure_ok(FrameReader(write_measure_ok({Kind::over, 77})).next()->body);
  ASSERT_TRUE(over);
  EXPECT_TRUE(over->kind == Kind::over && over->background == 77);
  EXPECT_TRUE(read_measure_ok(std::vector<uint8_t>{2, 0, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_FALSE(read_measure_ok(std::vector<uint8_t>{2, 1, 0, 0, 0, 0, 0, 0, 0})) << "of what has not begun";
  EXPECT_FALSE(read_measure_ok(std::vector<uint8_t>{4, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST(Frames, ACutFrameIsMalformed) {
  auto p = write_lease({});
  p.pop_back();
  FrameReader r(p);
  EXPECT_FALSE(r.next());
  EXPECT_TRUE(r.malformed());
}

TEST(Frames, BodiesOfTheWrongSizeAreRefused) {
  const ByteArray<64> b{};
  for (size_t n = 0; n <= 64; n++) {
    const Bytes body = Bytes(b).first(n);
    EXPECT_EQ(read_error(body).has_value(), n == 4);
    EXPECT_EQ(read_close(body).has_value(), n == 3);
    EXPECT_EQ(read_lease(body).has_value(), n == 35);
    EXPECT_EQ(read_granted(body).has_value(), n == 51);
    EXPECT_EQ(read_lease_id(body).has_value(), n == 16);
    EXPECT_EQ(read_bind(body).has_value(), n == 32);
    EXPECT_EQ(read_ping(body).has_value(), n >= 8);
    EXPECT_EQ(read_extend(body).has_value(), n >= 21);
    EXPECT_EQ(read_dial(body).has_value(), n > 8);
    EXPECT_EQ(read_dialed(body).has_value(), n == 9);
    EXPECT_EQ(read_measure(body).has_value(), n == 78);
    EXPECT_EQ(read_measure_ok(body).has_value(), n == 9);
    EXPECT_FALSE(read_bound(body));
    EXPECT_FALSE(read_element(body));
  }
}

TEST(Frames, AnElementCarriesItsLegInTheReservedBytes) {
  ByteArray<148> init{};
  init[0] = 1;
  const ByteArray<58> early{42};
  const auto e = write_element(init, {0xabcdef}, early);
  EXPECT_EQ(e.size(), 208u);  // what docs/protocol.md says an exit's element is
  const auto back = read_element(e);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->leg.value, 0xabcdefu);
  EXPECT_EQ(back->early[0], 42);
  EXPECT_EQ(write_extend({}, 0, e).size() + 4 + 16 + 148 + 2, 208u + 194u);
}

}  // namespace
}  // namespace macrovpn::routing
