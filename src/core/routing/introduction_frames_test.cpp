#include "core/routing/introduction_frames.h"

#include <gtest/gtest.h>

namespace macrovpn::routing {
namespace {

PeerId id(uint8_t n) {
  PeerId out;
  out.bytes.fill(n);
  return out;
}
Bytes body_of(const std::vector<uint8_t>& frame) {
  FrameReader reader(frame);
  const auto f = reader.next();
  EXPECT_TRUE(f && frame.size() == kFrameHeader + f->body.size());
  return f ? f->body : Bytes{};
}
const Endpoint kV4 = *Endpoint::parse("203.0.113.9:4000"), kV6 = *Endpoint::parse("[2001:db8::9]:4001");

TEST(IntroductionFrames, StandOnTheWireAsTheProtocolSays) {
  const auto f = write_registered({0x0807060504030201, kV4});
  const std::vector<uint8_t> want = {0x29, 15, 0, 1, 2, 3, 4, 5, 6, 7, 8, 4, 203, 0, 113, 9, 0xa0, 0x0f};
  EXPECT_EQ(f, want);
  EXPECT_EQ(write_register({id(1), 2, {}}).size(), 3u + 45);
  EXPECT_EQ(write_connect({id(1), id(2), {}, {}}).size(), 3u + 69);
  EXPECT_EQ(write_splice({2, id(3), {}})[3], 2);
}

TEST(IntroductionFrames, AreReadAsTheyWereWritten) {
  const auto r = read_register(body_of(write_register({id(7), 99, {5}, GuessSide::hard})));
  ASSERT_TRUE(r);
  EXPECT_TRUE(r->guess == GuessSide::hard && r->self == id(7) && r->cookie == 99 && r->mac == crypto::Mac16{5});
  for (const Endpoint& e : {kV4, kV6}) {
    const auto seen = read_registered(body_of(write_registered({1, e})));
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->seen, e);
    const auto i = read_introduce(body_of(write_introduce({id(4), {3}, e, GuessSide::easy})));
    ASSERT_TRUE(i);
    EXPECT_TRUE(i->guess == GuessSide::easy && i->other == id(4) && i->nonce == IntroductionNonce{3} && i->at == e);
  }
  const auto c = read_connect(body_of(write_connect({id(1), id(2), {3}, {4}, GuessSide::easy})));
  ASSERT_TRUE(c);
  EXPECT_TRUE(c->guess == GuessSide::easy && c->self == id(1) && c->wanted == id(2) && c->nonce == IntroductionNonce{3} && c->mac == crypto::Mac16{4});
}

TEST(IntroductionFrames, OfAnotherLengthAreRefused) {
  for (const auto& frame : {write_register({id(7), 99, {5}}), write_registered({1, kV4}), write_connect({id(1), id(2), {3}, {4}}),
                            write_introduce({id(4), {3}, kV6})}) {
    const Bytes body = body_of(frame);
    std::vector<uint8_t> longer(body.begin(), body.end());
    longer.push_back(0);
    for (const Bytes wrong : {body.first(body.size() - 1), Bytes(longer)}) {
      EXPECT_FALSE(read_register(wrong) && frame[0] == 0x28);
      EXPECT_FALSE(read_registered(wrong) && frame[0] == 0x29);
      EXPECT_FALSE(read_connect(wrong) && frame[0] == 0x2b);
      EXPECT_FALSE(read_introduce(wrong) && frame[0] == 0x2c);
    }
  }
  EXPECT_FALSE(read_splice(ByteArray<20>{}));
}

TEST(IntroductionFrames, NameNoSideOfAGuessThatIsNone) {
  auto r = write_register({id(7), 99, {5}, GuessSide::hard});
  auto c = write_connect({id(1), id(2), {3}, {4}, GuessSide::hard});
  auto i = write_introduce({id(4), {3}, kV6, GuessSide::hard});
  r[3 + 28] = c[3 + 52] = i[3 + 32] = 3;
  EXPECT_FALSE(read_register(body_of(r)));
  EXPECT_FALSE(read_connect(body_of(c)));
  EXPECT_FALSE(read_introduce(body_of(i)));
}

TEST(IntroductionFrames, NameNoEndpointThatIsNone) {
  EXPECT_FALSE(read_registered(body_of(write_registered({1, {kV4.address, 0}}))));
  EXPECT_FALSE(read_introduce(body_of(write_introduce({id(4), {}, {IpAddress::v4(0u), 9}}))));
}

}  // namespace
}  // namespace macrovpn::routing
