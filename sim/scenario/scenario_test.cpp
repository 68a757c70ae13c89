#include "sim/scenario/scenario.h"

#include <gtest/gtest.h>

#include "sim/scenario/command.h"
#include "sim/scenario/run.h"

namespace macrovpn::sim {
namespace {

constexpr const char* kSmall =
    "lasts 45s\n10 relays\n4 exits\n4 clients browse behind symmetric nat\n2 clients download with mobile access\n"
    "at 15s 20% of relays crash for 10s\nat 20s 2 clients move\nat 20s 10% of exits replay 30% for 20s\n"
    "every 12s all clients hop\n";

Scenario scenario(const std::string& text) {
  auto s = read_scenario(text, "test");
  EXPECT_TRUE(s.ok()) << (s.ok() ? "" : s.error().message);
  return s.ok() ? *s : Scenario{};
}

std::string refusal(const std::string& text) {
  const auto s = read_scenario("3 relays\n" + text, "a.scenario");
  return s.ok() ? "" : s.error().message;
}

// Packets of programs that leave exits by IPv6.
struct SixCounter : Watcher {
  void server_got(World&, const Host&, const Host&, Bytes ip) override { packets += ip[0] >> 4 == 6; }
  uint64_t packets = 0;
};

struct NetworkCounter : Watcher {
  void fault(World&, const Host&, const std::string& what) override { moves += what.starts_with("moves"); }
  uint64_t moves = 0;
};

TEST(Scenario, ReadsSentences) {
  const Scenario s = scenario(
      "about people who browse\nlasts 10min  # long\n20 relays in europe\n5 exits with datacentre access\n"
      "200 clients browse from europe behind symmetric nat that forgets after 30s of a carrier over 2 hops\n"
      "at 3min 10% of relays crash for 40s\nevery 90s from 2min until 8min 3 clients have clocks that are 20min off for 1min\n"
      "expect every client carries 1MB\nexpect recovery within 40s\nexpect at least 4 kinds of faults\n");
  EXPECT_EQ(s.about, "people who browse");
  EXPECT_EQ(s.lasts, Duration(10min));
  ASSERT_EQ(s.crowds.size(), 3u);
  EXPECT_EQ(s.crowds[2].count, 200u);
  EXPECT_EQ(s.crowds[2].nat, NatKind::symmetric);
  EXPECT_EQ(s.crowds[2].nat_timeout, Duration(30s));
  EXPECT_TRUE(s.crowds[2].carrier);
  EXPECT_EQ(s.crowds[2].hops, 2u);
  ASSERT_EQ(s.troubles.size(), 2u);
  EXPECT_EQ(s.troubles[0].share, 100'000u);
  EXPECT_EQ(s.troubles[0].lasts, Duration(40s));
  EXPECT_EQ(s.troubles[1].first, Duration(2min));
  EXPECT_EQ(s.troubles[1].time, Duration(20min));
  EXPECT_EQ(s.expected.bytes_each, 1'000'000u);
  EXPECT_EQ(s.expected.fault_kinds, 4u);
}

TEST(Scenario, ReadsWhatProgramsDo) {
  const Scenario s = scenario(
      "5 relays\n2 exits without ipv6\n2 clients browse pages of 60KB pausing 20s\n3 clients upload files of 2MB with mobile access\n"
      "1 clients call calls of 30s pausing 90s\n1 clients wait roaming every 60s\n40% of sites by ipv6\n");
  EXPECT_FALSE(s.crowds[1].v6);
  EXPECT_EQ(s.crowds[2].bytes, 60'000u);
  EXPECT_EQ(s.crowds[2].pause, Duration(20s));
  EXPECT_EQ(s.crowds[3].work, Work::upload);
  EXPECT_EQ(s.crowds[3].bytes, 2'000'000u);
  EXPECT_EQ(s.crowds[4].call, Duration(30s));
  EXPECT_EQ(s.crowds[5].roams, Duration(60s));
  EXPECT_EQ(s.v6_sites, 400'000u);
}

TEST(Scenario, SaysWhereItIsWrongAndWhatIsAllowed) {
  EXPECT_NE(refusal("9 clients browze").find("a.scenario:2: \"browze\" is no thing that clients do; allowed: wait, browse"), std::string::npos);
  EXPECT_NE(refusal("9 clients browse from mars").find("\"mars\" is no place"), std::string::npos);
  EXPECT_NE(refusal("at 3 all clients crash").find("write it as 250us"), std::string::npos);
  EXPECT_NE(refusal("at 3s 110% of clients crash").find("is no share"), std::string::npos);
  EXPECT_NE(refusal("at 3s all clients explode").find("allowed: crash, sleep"), std::string::npos);
  EXPECT_NE(refusal("at 3s all clients tamper with 5%").find("only relays and exits"), std::string::npos);
  EXPECT_NE(refusal("lasts 5min long").find("is over before \"long\""), std::string::npos);
  EXPECT_NE(refusal("hello").find("begins no sentence"), std::string::npos);
  EXPECT_NE(refusal("").find("needs relays and exits"), std::string::npos);
  EXPECT_NE(refusal("3 clients call pages of 3KB").find("says nothing about such a crowd; allowed: from or in PLACE, with ACCESS access, calls of TIME"), std::string::npos);
  EXPECT_NE(refusal("3 clients wait roaming every 20ms").find("a second at least"), std::string::npos);
  EXPECT_NE(refusal("0 exits").find("1 to 100000"), std::string::npos);
}

TEST(Simulation, IsTheSameForTheSameSeed) {
  const Scenario s = scenario(kSmall);
  const auto hash = [&](uint64_t seed) {
    Simulation run(s, seed);
    run.go();
    EXPECT_FALSE(run.failure()) << failure_text(run.world(), *run.failure(), seed, "test");
    EXPECT_GT(run.world().counters().delivered, 1000u);
    return run.world().trace_hash();
  };
  const uint64_t first = hash(1);
  EXPECT_EQ(first, hash(1));
  EXPECT_NE(first, hash(2));
}

// What is drawn for one thing is not drawn for another: a watcher, and a trouble that hits nobody, change nothing before it.
TEST(Simulation, IsNotChangedByBeingWatched) {
  const Scenario s = scenario(kSmall);
  Simulation plain(s, 3), watched(s, 3);
  Story story(std::fopen("/dev/null", "w"));
  watched.watch(story);
  plain.go();
  watched.go();
  EXPECT_EQ(plain.world().trace_hash(), watched.world().trace_hash());
}

TEST(Simulation, CarriesWhatProgramsSend) {
  Simulation run(scenario("lasts 30s\n6 relays\n3 exits\n3 clients download\n"), 1);
  run.go();
  ASSERT_FALSE(run.failure());
  EXPECT_GT(run.least().bytes, 1'000'000u);
  EXPECT_EQ(run.least().circuits, 2u);  // and a spare one
}

TEST(Simulation, ProgramsOfEveryKindGetWhatTheyWant) {
  Simulation run(scenario("lasts 60s\nhosts are 10ms apart\n8 relays\n4 exits\n3 clients browse pages of 80KB pausing 2s\n2 clients download files of 300KB\n"
                          "2 clients upload files of 300KB\n2 clients call calls of 20s pausing 5s\n"), 1);
  run.go();
  ASSERT_FALSE(run.failure()) << run.failure()->seen;
  for (const Work work : {Work::browse, Work::download, Work::upload, Work::call}) {
    EXPECT_GE(run.load_of(work).done, work == Work::call ? 4u : 20u) << to_string(work);
    EXPECT_EQ(run.load_of(work).failed, 0u) << to_string(work);
  }
  const LoadReport calls = run.load_of(Work::call);
  EXPECT_GT(calls.packets_sent, 8'000u);  // both sides
  EXPECT_LT(calls.packets_sent - calls.packets_received, 50u);
  EXPECT_EQ(run.wrong_bytes(), 0u);
}

// A page of a site that is called by IPv6 first comes by IPv4 where the exit has no way there.
TEST(Simulation, PagesComeByIpv6AndWithoutIt) {
  for (const char* const exits : {"3 exits\n", "3 exits without ipv6\n"}) {
    Simulation run(scenario(std::string("lasts 40s\nhosts are 10ms apart\n6 relays\n100% of sites by ipv6\n3 clients browse pages of 50KB pausing 2s\n") + exits), 1);
    SixCounter six;
    run.watch(six);
    run.go();
    ASSERT_FALSE(run.failure()) << run.failure()->seen;
    EXPECT_EQ(six.packets > 0, std::string(exits) == "3 exits\n");
    EXPECT_GE(run.load_of(Work::browse).done, 20u);
    EXPECT_EQ(run.load_of(Work::browse).failed, 0u);
  }
}

// The lease stays where the exit does: what was under way goes on by another circuit; where the exit dies it fails and is begun again.
TEST(Simulation, DownloadsLiveThroughTheDeathOfRelaysButNotOfTheExit) {
  const std::string world = "lasts 100s\nhosts are 10ms apart\n8 relays\n3 exits\n2 clients download files of 800KB\nat 1s all clients slow down to 1Mbit/s\n";
  Simulation relays(scenario(world + "every 15s all clients hop\nat 22s 30% of relays crash\n"), 1);
  relays.go();
  ASSERT_FALSE(relays.failure()) << relays.failure()->seen;
  EXPECT_GE(relays.load_of(Work::download).done, 12u);
  EXPECT_EQ(relays.load_of(Work::download).failed, 0u);
  Simulation exits(scenario(world + "at 12s all exits crash for 2s\n"), 1);
  exits.go();
  ASSERT_FALSE(exits.failure()) << exits.failure()->seen;
  EXPECT_EQ(exits.load_of(Work::download).failed, 2u);
  EXPECT_GE(exits.load_of(Work::download).done, 4u);
}

TEST(Simulation, RoamingLaptopsKeepTheirConnections) {
  Simulation run(scenario("lasts 90s\nhosts are 10ms apart\n8 relays\n3 exits\n4 clients download files of 500KB pausing 500ms roaming every 10s\n"), 2);
  NetworkCounter networks;
  run.watch(networks);
  run.go();
  ASSERT_FALSE(run.failure()) << run.failure()->seen;
  EXPECT_GE(networks.moves, 10u);
  EXPECT_GE(run.load_of(Work::download).done, 40u);
  EXPECT_EQ(run.load_of(Work::download).failed, 0u);
}

TEST(Simulation, FailsWhereAScenarioExpectsMore) {
  Simulation run(scenario("lasts 20s\n6 relays\n3 exits\n3 clients browse\nexpect every client builds 9 circuits a minute\nexpect at least 100 nodes\n"), 1);
  run.go();
  ASSERT_TRUE(run.failure());
  EXPECT_EQ(run.failure()->checker, "expected");
}

TEST(Simulation, TellsWhoHasNoCircuitAndWhy) {
  Simulation run(scenario("lasts 3min\n6 relays\n2 exits\n2 clients browse\nat 30s all exits crash for 1s\nat 32s all relays crash\nexpect recovery within 20s\n"), 1);
  run.go();
  ASSERT_TRUE(run.failure());
  EXPECT_EQ(run.failure()->checker, "recovery");
  const std::string text = failure_text(run.world(), *run.failure(), 1, "x.scenario");
  EXPECT_NE(text.find("again:   ./simulate x.scenario --seed 1 --trace"), std::string::npos);
  EXPECT_NE(text.find("the last of client "), std::string::npos);
}

TEST(Command, HelpIsNoMistakeAndAWrongWordIs) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(simulate({"--help"}), 0);
  EXPECT_NE(testing::internal::GetCapturedStdout().find("usage: simulate SCENARIO"), std::string::npos);
  for (const std::string word : {"--hepl", "no-such.scenario"}) {
    testing::internal::CaptureStderr();
    EXPECT_EQ(simulate({word}), 2);
    EXPECT_NE(testing::internal::GetCapturedStderr().find(word), std::string::npos);
  }
}

}  // namespace
}  // namespace macrovpn::sim
