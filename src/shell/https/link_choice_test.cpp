#include "shell/https/link_choice.h"

#include <gtest/gtest.h>

namespace macrovpn::shell::https {
namespace {

using Do = LinkChoice::Do;
using Path = LinkChoice::Path;
using Known = LinkChoice::Known;

struct Choice : testing::Test {
  Mono now = Mono(100s);
  LinkChoice c;
  void wait(Duration d) { now += d; }
  void use_https() {
    c.sent(now);
    wait(LinkChoice::kPatience);
    ASSERT_EQ(c.next(now), Do::connect);
    c.connected(now);
    c.heard_https(now);
    ASSERT_EQ(c.path(), Path::https);
  }
};

TEST_F(Choice, NothingIsBegunWhileUdpAnswers) {
  for (int i = 0; i < 100; i++) {
    c.sent(now);
    wait(300ms);
    EXPECT_EQ(c.next(now), Do::nothing);
    c.heard_udp(now);
    EXPECT_EQ(c.next(now), Do::nothing);
  }
  EXPECT_EQ(c.next_deadline(), kNever);
  EXPECT_TRUE(c.udp_works());
}

TEST_F(Choice, ASilentUdpHasHttpsBeginAfter400Milliseconds) {
  c.sent(now);
  EXPECT_EQ(c.next_deadline(), now + 400ms);
  wait(399ms);
  c.sent(now);
  EXPECT_EQ(c.next(now), Do::nothing);
  wait(1ms);
  EXPECT_EQ(c.next(now), Do::connect);
  EXPECT_EQ(c.next(now), Do::nothing);
  EXPECT_EQ(c.path(), Path::udp) << "until it is there";
  c.connected(now);
  EXPECT_EQ(c.path(), Path::https);
  EXPECT_FALSE(c.https_was_needed()) << "nobody has answered by it yet";
  c.heard_https(now);
  EXPECT_TRUE(c.https_was_needed());
}

TEST_F(Choice, WhereHttpsIsKnownToBeNeededItBeginsAtOnceAndUdpMayStillBeFirst) {
  c = LinkChoice(Known::https_needed);
  c.sent(now);
  EXPECT_EQ(c.next(now), Do::connect);
  c.connected(now);
  EXPECT_EQ(c.path(), Path::https);
  wait(50ms);
  c.heard_udp(now);
  EXPECT_EQ(c.path(), Path::udp);
  EXPECT_EQ(c.next(now), Do::disconnect);
  EXPECT_TRUE(c.udp_works());
}

TEST_F(Choice, ARelayThatWasHeardGetsMorePatienceAndMoreAfterAFalseAlarm) {
  c.sent(now);
  c.heard_udp(now);
  for (const Duration patience : {800ms, 1600ms, 3200ms, 3200ms}) {
    c.sent(now);
    EXPECT_EQ(c.next_deadline(), now + patience);
    wait(patience);
    EXPECT_EQ(c.next(now), Do::connect);
    c.heard_udp(now);
    EXPECT_EQ(c.next(now), Do::disconnect);
    c.connected(now);  // too late
    EXPECT_EQ(c.path(), Path::udp);
  }
}

TEST_F(Choice, UdpIsProbedAndAnAnswerLeadsBack) {
  c.sent(now);
  c.heard_udp(now);
  use_https();
  for (int i = 0; i < 19; i++) {
    wait(1s);
    c.sent(now);
    c.heard_https(now);
    EXPECT_EQ(c.next(now), Do::nothing);
  }
  wait(1s);
  EXPECT_EQ(c.next(now), Do::probe);
  EXPECT_EQ(c.next(now), Do::nothing);
  c.probe_answered(now);
  EXPECT_EQ(c.path(), Path::udp);
  EXPECT_EQ(c.next(now), Do::disconnect);
  EXPECT_TRUE(c.udp_works());
}

TEST_F(Choice, OtherDatagramsByUdpDoNotLeadBack) {
  use_https();
  wait(LinkChoice::kRace);
  for (int i = 0; i < 50; i++) {
    wait(500ms);
    c.sent(now);
    c.heard_https(now);
    c.heard_udp(now);
    EXPECT_EQ(c.path(), Path::https);
  }
}

TEST_F(Choice, AUdpThatComesAndGoesIsBelievedEverLess) {
  Duration before = 0s;
  for (int i = 0; i < 4; i++) {
    use_https();
    Duration held = 0s;
    for (c.probe_answered(now); c.path() == Path::https; held += 1s) {
      wait(1s);
      c.sent(now);
      c.heard_https(now);
      c.probe_answered(now);
    }
    EXPECT_GT(held, before);
    before = held;
    while (c.next(now) != Do::nothing) {
    }
  }
}

// A relay whose node says nothing would otherwise be called every few seconds, and look like nothing else.
TEST_F(Choice, WhereNothingIsEverHeardByHttpsItIsTriedEverMoreRarely) {
  Duration before = Duration::zero();
  for (int i = 0; i < 3; i++) {
    Mono asked = now;
    c.sent(now);
    while (c.next(now) != Do::connect) wait(100ms), c.sent(now);
    EXPECT_GE(now - asked, before);
    before = std::max<Duration>(LinkChoice::kRetry, (now - asked) * 3 / 2) - 1s;
    c.connected(now);
    c.sent(now);
    wait(LinkChoice::kDeaf);
    ASSERT_EQ(c.next(now), Do::disconnect);
  }
}

TEST_F(Choice, ADeafOrFinishedConnectionIsGivenUpAndAllBeginsAnew) {
  use_https();
  wait(1s);
  c.sent(now);
  wait(LinkChoice::kDeaf);
  EXPECT_EQ(c.next(now), Do::disconnect);
  EXPECT_EQ(c.path(), Path::udp);
  c.sent(now);
  wait(LinkChoice::kFirstPatience);
  EXPECT_EQ(c.next(now), Do::connect);
  c.connected(now);
  c.heard_https(now);
  c.disconnected(now);
  EXPECT_EQ(c.path(), Path::udp);
  c.sent(now);
  wait(LinkChoice::kRetry);
  EXPECT_EQ(c.next(now), Do::connect);
}

TEST_F(Choice, AConnectionThatCannotBeHadIsTriedEverMoreRarely) {
  c.sent(now);
  wait(400ms);
  Duration before = 0s;
  for (int i = 0; i < 10; i++) {
    ASSERT_EQ(c.next(now), Do::connect);
    c.disconnected(now);
    const Duration wait_for = c.next_deadline() - now;
    EXPECT_GE(wait_for, before);
    EXPECT_LE(wait_for, LinkChoice::kMostRetry);
    before = wait_for;
    wait(wait_for);
  }
  EXPECT_EQ(before, LinkChoice::kMostRetry);
}

TEST_F(Choice, AnIdleConnectionIsEnded) {
  use_https();
  Mono last = now - LinkChoice::kPatience;
  while (c.next(now) != Do::disconnect) now = std::max(now + 1ms, c.next_deadline());
  EXPECT_EQ(now, last + LinkChoice::kIdle);
  EXPECT_EQ(c.next_deadline(), kNever);
}

TEST_F(Choice, InAnotherNetworkUdpHasItsChanceAnew) {
  c.sent(now);
  for (int i = 0; i < 6; i++) {
    now = std::max(now, c.next_deadline());
    ASSERT_EQ(c.next(now), Do::connect);
    c.disconnected(now);
  }
  c.heard_udp(now);
  c.network_changed(Known::nothing);
  c.sent(now);
  EXPECT_EQ(c.next_deadline(), now + 400ms);
}

}  // namespace
}  // namespace macrovpn::shell::https
