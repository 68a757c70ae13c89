#include "shell/driver/verifier.h"

#include <gtest/gtest.h>

#include "core/discovery/descriptor.h"
#include "crypto/x25519.h"
#include "shell/clock.h"

namespace macrovpn::shell {
namespace {

using discovery::CheckFailure;
using discovery::Datum;

struct VerifierTest : ::testing::Test {
  discovery::SyncCheck check_of(uint64_t id, bool forged = false) {
    RelayInfo info;
    info.wireguard = crypto::x25519_generate(rng).pub;
    info.endpoints = {{IpAddress::v4(0x0a000001), 51820}};
    auto bytes = discovery::sign_descriptor(info, network.id, crypto::ed25519_generate(rng), read_clocks().wall);
    if (forged) bytes[40] ^= 1;
    return {id, Datum::whole, bytes, nullptr};
  }
  Network network;
  OsRng rng;
  Reactor reactor;
  std::vector<std::pair<uint64_t, bool>> verdicts;
};

TEST_F(VerifierTest, EachCheckIsAnsweredInOrderOnTheReactorsThread) {
  const auto here = std::this_thread::get_id();
  Verifier v(reactor, network, discovery::CheckDepth::signatures, [&](uint64_t id, const Verifier::Verdict& verdict) {
    EXPECT_EQ(std::this_thread::get_id(), here);
    EXPECT_TRUE(verdict.ok() || verdict.error() == CheckFailure::forged);
    verdicts.emplace_back(id, verdict.ok());
  });
  v.ask({check_of(1), check_of(2, true)});
  v.ask({check_of(3)});
  for (int i = 0; i < 200 && verdicts.size() < 3; i++) reactor.run_once(50ms);
  EXPECT_EQ(verdicts, (std::vector<std::pair<uint64_t, bool>>{{1, true}, {2, false}, {3, true}}));
}

TEST_F(VerifierTest, ItMayEndWithWorkLeft) {
  std::vector<discovery::SyncCheck> many;
  for (uint64_t i = 0; i < 200; i++) many.push_back(check_of(i));
  Verifier(reactor, network, discovery::CheckDepth::signatures, [](uint64_t, const Verifier::Verdict&) {}).ask(std::move(many));
  reactor.run_once(0ms);
}

}  // namespace
}  // namespace macrovpn::shell
