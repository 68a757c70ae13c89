#include "shell/wireguard/whereabouts.h"

#include <gtest/gtest.h>

namespace macrovpn::shell {
namespace {

constexpr PeerRef kOne{uint64_t{1} << 60 | 1}, kTwo{uint64_t{2} << 60 | 1};
const Endpoint kHere = *Endpoint::parse("192.0.2.1:1000"), kThere = *Endpoint::parse("192.0.2.2:1000");

std::vector<uint8_t> message(uint8_t type, uint32_t index, size_t size = 64) {
  std::vector<uint8_t> m(size);
  m[0] = type;
  store_le32(&m[type == 2 ? 8 : 4], index);
  return m;
}

TEST(Whereabouts, KnowTransportMessagesByTheirWayAndTheirSession) {
  Whereabouts w;
  w.set(kOne, {kHere, {SessionIndex{7}, SessionIndex{8}}});
  w.set(kTwo, {kHere, {SessionIndex{9}, {}}});
  EXPECT_EQ(w.sent_to(kHere, message(4, 7)), kOne);
  EXPECT_EQ(w.sent_to(kHere, message(4, 8)), kOne);
  EXPECT_EQ(w.sent_to(kHere, message(4, 9)), kTwo);
  EXPECT_EQ(w.sent_to(kHere, message(4, 10)), PeerRef{});
  EXPECT_EQ(w.sent_to(kThere, message(4, 7)), PeerRef{});
  EXPECT_EQ(w.sent_to(kHere, message(4, 0)), PeerRef{});  // which stands for no session
  EXPECT_EQ(w.sent_to(kHere, message(3, 7)), PeerRef{});
  EXPECT_EQ(w.sent_to(kHere, message(4, 7, 31)), PeerRef{});
}

TEST(Whereabouts, FollowAPeerAndForgetIt) {
  Whereabouts w;
  w.set(kOne, {kHere, {SessionIndex{7}, {}}});
  w.set(kTwo, {kHere, {SessionIndex{8}, {}}});
  w.set(kOne, {kThere, {SessionIndex{7}, {}}});
  EXPECT_EQ(w.sent_to(kHere, message(4, 7)), PeerRef{});
  EXPECT_EQ(w.sent_to(kThere, message(4, 7)), kOne);
  EXPECT_EQ(w.sent_to(kHere, message(4, 8)), kTwo);
  EXPECT_EQ(w.endpoint_of(kOne), kThere);
  w.forget(kOne);
  w.forget(kOne);
  EXPECT_EQ(w.sent_to(kThere, message(4, 7)), PeerRef{});
  EXPECT_EQ(w.endpoint_of(kOne), std::nullopt);
  EXPECT_EQ(w.size(), 1u);
}

}  // namespace
}  // namespace macrovpn::shell
