// Whole workloads against a site.
#include <gtest/gtest.h>

#include "sim/load/browser.h"
#include "sim/load/bulk.h"
#include "sim/load/load_world_test.h"
#include "sim/load/site.h"

namespace macrovpn::sim {
namespace {

const IpAddress kClient = *IpAddress::parse("10.10.0.2");
const Endpoint kSite = *Endpoint::parse("198.18.0.1:443");
const LinkModel kGood{.latency = 30ms, .rate = megabits(20), .queue = 200'000};
const LinkModel kDown{.up = false};

struct Parts {
  SeededRng random{7};
  Site site{{}, random};
};

TEST(Browser, ReadsPagesOfAboutTheSizeThatIsGiven) {
  Parts p;
  Browser browser({.sites = {kSite}, .local = kClient, .page_bytes = 100'000, .reading = 5s}, p.random);
  LoadWorld world(browser, p.site, kGood);
  world.run_until(Mono(std::chrono::minutes(5)));
  const LoadReport& r = browser.report();
  EXPECT_GE(r.done, 40u);
  EXPECT_LE(r.done, 60u);
  EXPECT_EQ(r.failed, 0u);
  EXPECT_GE(r.bytes_down, r.done * 85'000);
  EXPECT_LE(r.bytes_down, r.done * 115'000);
}

TEST(Browser, ReadsPagesAndSaysHowLongTheyTook) {
  Parts p;
  Browser browser({.sites = {kSite}, .local = kClient}, p.random);
  LoadWorld world(browser, p.site, kGood);
  world.run_until(Mono(std::chrono::minutes(12)));
  const LoadReport& r = browser.report();
  EXPECT_GE(r.done, 15u);
  EXPECT_EQ(r.failed, 0u);
  EXPECT_EQ(r.wrong_bytes + p.site.report().wrong_bytes, 0u);
  EXPECT_GE(r.first_byte.at(500), 120ms);  // a connection, and a request: two round trips
  EXPECT_LE(r.first_byte.at(500), 140ms);
  EXPECT_GT(r.latency.at(500), r.first_byte.at(500));
  EXPECT_LT(r.latency.at(500), 3s);
  EXPECT_GE(p.site.report().done, r.done * 10);  // objects
  EXPECT_EQ(r.stalls, 0u);
}

TEST(Browser, UsesNoMoreConnectionsThanItMayAndLeavesNone) {
  Parts p;
  Browser browser({.sites = {kSite}, .local = kClient, .most_connections = 3}, p.random);
  LoadWorld world(browser, p.site, kGood);
  size_t most = 0;
  for (int i = 0; i < 1500; i++) {
    world.run_until(Mono(100ms * i));
    most = std::max(most, p.site.host().connections());
  }
  EXPECT_GE(most, 3u);
  EXPECT_LE(most, 9u);  // those that linger after their page
}

TEST(Browser, CountsStallsAndPagesThatDoNotCome) {
  Parts p;
  Browser browser({.sites = {kSite}, .local = kClient, .patience = 20s}, p.random);
  LoadWorld world(browser, p.site, kGood);
  for (int minute = 0; minute < 10; minute++) {
    world.run_until(Mono(std::chrono::minutes(minute)));
    world.set(kDown);
    world.run_until(Mono(std::chrono::minutes(minute)) + 4s);
    world.set(kGood);
  }
  EXPECT_GT(browser.report().stalls, 0u);
  EXPECT_GE(browser.report().longest_stall, 2s);
  const uint64_t done = browser.report().done;
  world.set(kDown);
  world.run_until(Mono(std::chrono::minutes(25)));
  EXPECT_LE(browser.report().done, done + 1);
  EXPECT_GT(browser.report().failed, 3u);
}

TEST(Browser, BeginsAnewAfterARestart) {
  Parts p;
  Browser browser({.sites = {kSite}, .local = kClient}, p.random);
  LoadWorld world(browser, p.site, kGood);
  while (!browser.is_loading()) world.run_until(world.now + 10ms);
  browser.restart(world.now);
  EXPECT_EQ(browser.report().failed, 1u);
  world.run_until(world.now + std::chrono::minutes(10));
  EXPECT_GT(browser.report().done, 5u);
}

TEST(Bulk, LoadsBothWaysAtTheRateOfTheLine) {
  for (const auto& [down, up] : {std::pair<uint64_t, uint64_t>{20'000'000, 0}, {0, 20'000'000}}) {
    Parts p;
    Bulk bulk({.site = kSite, .local = kClient, .down = down, .up = up, .transfers = 2}, p.random);
    LoadWorld world(bulk, p.site, kGood);
    world.run_until(Mono(60s));
    EXPECT_TRUE(bulk.is_finished());
    EXPECT_EQ(bulk.report().done, 2u);
    EXPECT_GE(bulk.kilobits_per_second(), 18'000u);
    EXPECT_LE(bulk.kilobits_per_second(), 19'500u);
    EXPECT_EQ(bulk.report().bytes_down, 2 * down);
    EXPECT_EQ(bulk.report().bytes_up, 2 * (up + kRequestHeader));
    EXPECT_EQ(bulk.next_deadline() < Mono(120s), false);
  }
}

TEST(Bulk, BeginsAgainWhereTheConnectionFailed) {
  Parts p;
  Bulk bulk({.site = Endpoint{kSite.address, 81}, .local = kClient, .down = 1000}, p.random);
  LoadWorld world(bulk, p.site, kGood);
  world.run_until(Mono(21s));
  EXPECT_EQ(bulk.report().done, 0u);
  EXPECT_NEAR(static_cast<int>(bulk.report().failed), 10, 1);  // one in 2 s
}

TEST(Bulk, SeesABrokenByte) {
  Parts p;
  struct Breaking final : Workload {
    explicit Breaking(Workload& w) : to(w) {}
    void on_packet(Mono now, Bytes packet, PacketSink& out) override {
      std::vector<uint8_t> copy(packet.begin(), packet.end());
      if (copy.size() > 1000 && ++large == 5) {
        copy[900] ^= 1;
        finish_segment(copy);  // so that no checksum tells
      }
      to.on_packet(now, copy, out);
    }
    void on_deadline(Mono now, PacketSink& out) override { to.on_deadline(now, out); }
    Mono next_deadline() const override { return to.next_deadline(); }
    const LoadReport& report() const override { return to.report(); }
    void restart(Mono now) override { to.restart(now); }
    Workload& to;
    size_t large = 0;
  };
  Bulk bulk({.site = kSite, .local = kClient, .down = 100'000}, p.random);
  Breaking breaking(bulk);
  LoadWorld world(breaking, p.site, kGood);
  world.run_until(Mono(10s));
  EXPECT_EQ(bulk.report().wrong_bytes, 1u);
}

TEST(Call, HearsEveryPacketOnAGoodLine) {
  Parts p;
  Call call({.local = {kClient, 40000}, .remote = {kSite.address, 5004}, .lasts = 60s}, p.random);
  LoadWorld world(call, p.site, {.latency = 40ms, .jitter = 10ms});
  world.run_until(Mono(70s));
  const LoadReport &here = call.report(), &there = p.site.report();
  EXPECT_EQ(here.packets_sent, 3000u);
  EXPECT_EQ(there.packets_received, 3000u);
  EXPECT_NEAR(static_cast<int>(here.packets_received), 2998, 3);
  EXPECT_EQ(here.packets_late + there.packets_late + here.packets_twice + here.wrong_bytes, 0u);
  EXPECT_EQ(here.done, 1u);
  EXPECT_EQ(there.done, 1u);
  EXPECT_NEAR(static_cast<int>(here.latency.at(500) / 1ms), 40, 3);
}

TEST(Call, CountsWhatIsLostLateAndTwice) {
  Parts p;
  Call call({.local = {kClient, 40000}, .remote = {kSite.address, 5004}, .playout = 30ms, .lasts = 120s}, p.random);
  LoadWorld world(call, p.site, {.latency = 40ms, .loss = LossModel::independent(50'000), .duplicated = 30'000, .reordered = 40'000, .reorder_by = 90ms});
  world.run_until(Mono(130s));
  const LoadReport& r = call.report();
  EXPECT_NEAR(static_cast<int>(r.packets_received), 5700, 100);
  EXPECT_NEAR(static_cast<int>(r.packets_twice), 170, 50);
  EXPECT_NEAR(static_cast<int>(r.packets_late), 155, 50);  // of the 4 %, two thirds
}

TEST(Call, NoticesAGapAndHangsUpOnSilence) {
  Parts p;
  Call call({.local = {kClient, 40000}, .remote = {kSite.address, 5004}, .lasts = 60s}, p.random);
  LoadWorld world(call, p.site, kGood);
  world.run_until(Mono(10s));
  world.set(kDown);
  world.run_until(Mono(13s));
  world.set(kGood);
  world.run_until(Mono(20s));
  EXPECT_EQ(call.report().stalls, 1u);
  EXPECT_NEAR(static_cast<int>(call.report().longest_stall / 1ms), 3000, 100);
  EXPECT_EQ(p.site.report().done, 0u);
  world.set(kDown);
  world.run_until(Mono(36s));
  EXPECT_EQ(p.site.report().done, 1u);
  EXPECT_NEAR(static_cast<int>(p.site.report().packets_sent), 20 * 50, 5);  // what was said to nobody counts for nothing
}

TEST(Call, ThatEndsWithAGoodbyeLostNothing) {
  Parts p;
  Call call({.local = {kClient, 40000}, .remote = {kSite.address, 5004}, .lasts = 20s}, p.random);
  LoadWorld world(call, p.site, kGood);
  world.run_until(Mono(25s));
  EXPECT_EQ(p.site.report().done, 1u);
  EXPECT_EQ(p.site.report().packets_received, call.report().packets_sent);
  EXPECT_EQ(call.report().packets_received, p.site.report().packets_sent);
}

TEST(Udp, IsReadAsItWasWrittenAndNoBitMayChange) {
  for (const auto& [from, to] : {std::pair("198.18.0.1:1000", "198.18.0.2:53"), std::pair("[3fff::1]:1000", "[3fff::2]:53")}) {
    const ByteArray<5> payload{1, 2, 3, 4, 5};
    ByteArray<128> buffer;
    const MutBytes packet = write_udp({*Endpoint::parse(from), *Endpoint::parse(to), payload}, buffer);
    const auto got = read_udp(packet);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->source, *Endpoint::parse(from));
    EXPECT_TRUE(equal(got->payload, payload));
    const size_t first = packet[0] >> 4 == 4 ? 0 : 8;  // IPv6's hop limit and flow label are not covered
    for (size_t i = first * 8; i < packet.size() * 8; i++) {
      packet[i / 8] = static_cast<uint8_t>(packet[i / 8] ^ 1 << i % 8);
      EXPECT_FALSE(read_udp(packet)) << i;
      packet[i / 8] = static_cast<uint8_t>(packet[i / 8] ^ 1 << i % 8);
    }
  }
}

}  // namespace
}  // namespace macrovpn::sim
