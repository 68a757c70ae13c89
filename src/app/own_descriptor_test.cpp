#include "app/own_descriptor.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "core/discovery/equivocation.h"
#include "core/discovery/work.h"
#include "crypto/x25519.h"

namespace macrovpn::app {
namespace {

namespace fs = std::filesystem;
using Urgency = OwnDescriptor::Urgency;

class OwnDescriptorTest : public ::testing::Test {
 protected:
  OwnDescriptorTest() {
    char name[] = "/tmp/mv-own-XXXXXX";
    dir_ = mkdtemp(name);
    options_.paths = {dir_, dir_, dir_, dir_ + "/run"};
    fs::create_directory(options_.paths.descriptor_folder());
    options_.network.id = {{1, 2, 3}};
    options_.keys = shell::generate_keys(rng_, now_.wall - 100h);
    start();
  }
  ~OwnDescriptorTest() override {
    own_.reset();
    store_.reset();
    fs::remove_all(dir_);
  }
  void start() {
    own_.reset();
    store_.reset();
    folder_.emplace(options_.paths.descriptor_folder(), options_.network.id);
    store_.emplace(options_.paths.directory_file(), options_.network, [](const std::string&) {});
    store_->load(now_.wall);
    own_.emplace(options_, &*store_, *folder_, rng_,
                 OwnDescriptor::Uses{[this](const discovery::SignedDescriptor& d) { published_.push_back(d); }, [this](const std::string& s) { said_ += s + "\n"; }});
    prekey_ = crypto::x25519_generate(rng_).pub;
  }
  void set(uint16_t flags, Urgency urgency = Urgency::can_wait) {
    RelayInfo r;
    r.wireguard = options_.keys.wireguard.pub;
    r.endpoints = {{IpAddress::v4(0xc6336407), 51820}};
    r.flags = {flags};
    r.prekey = prekey_;
    r.created = options_.keys.created;
    own_->set(now_, r, {}, urgency);
  }
  void pass(Duration d) {
    now_ = {now_.mono + d, now_.wall + d};
    own_->on_tick(now_);
  }
  uint16_t flags() const { return published_.back().relay.flags.bits; }

  std::string dir_, said_;
  SeededRng rng_{5};
  Now now_{Mono(1h), wall_from_unix(1'800'000'000)};
  DaemonOptions options_;
  std::optional<shell::DescriptorFolder> folder_;
  std::optional<shell::DirectoryStore> store_;
  std::optional<OwnDescriptor> own_;
  PublicKey prekey_;
  std::vector<discovery::SignedDescriptor> published_;
};

TEST_F(OwnDescriptorTest, ChangesItsBodyEveryTenMinutesAtMostButEndsAtOnce) {
  set(3);
  ASSERT_EQ(published_.size(), 1u);
  pass(1min);
  set(7);
  EXPECT_EQ(published_.size(), 1u);
  pass(9min - 1s);
  EXPECT_EQ(published_.size(), 1u);
  pass(1s);
  ASSERT_EQ(published_.size(), 2u);
  EXPECT_EQ(flags(), 7);
  pass(1s);
  set(0, Urgency::at_once);
  ASSERT_EQ(published_.size(), 3u);
  EXPECT_EQ(flags(), 0);
}

TEST_F(OwnDescriptorTest, RenewsTheSameBodyEveryTwelveHoursAndWithANewPrekey) {
  set(3);
  const auto body = published_.back().body_hash;
  prekey_ = crypto::x25519_generate(rng_).pub;
  pass(1min);
  set(3);
  ASSERT_EQ(published_.size(), 2u);
  EXPECT_EQ(published_.back().relay.prekey, prekey_);
  std::set<Duration> waits;
  for (int i = 0; i < 5; i++) {
    const size_t before = published_.size();
    const Mono start = now_.mono;
    while (published_.size() == before && now_.mono - start < 24h) pass(1min);
    waits.insert(now_.mono - start);
    EXPECT_GE(now_.mono - start, 12h - 72min);
    EXPECT_LE(now_.mono - start, 12h + 73min);
    EXPECT_EQ(published_.back().body_hash, body);
    EXPECT_EQ(published_.back().body_signed_at, published_.front().body_signed_at);
  }
  EXPECT_GT(waits.size(), 1u);
}

TEST_F(OwnDescriptorTest, GoesOnWithItsBodyAfterARestart) {
  set(3);
  const auto body = published_.back().body_hash;
  pass(1min);
  start();
  set(3);
  ASSERT_EQ(published_.size(), 2u);
  EXPECT_EQ(published_.back().body_hash, body);
  EXPECT_EQ(published_.back().relay.prekey, prekey_);
}

// Crashes, a database or a file that is lost, clocks that jump: no two of all its descriptors convict it.
TEST_F(OwnDescriptorTest, NeverSignsTwoBodiesInOneSecond) {
  for (int i = 0; i < 150; i++) {
    if (rng_.below(3) == 0) {
      own_.reset();
      store_.reset();
      if (rng_.below(2) == 0) {
        fs::remove(options_.paths.directory_file());
      } else if (rng_.below(2) == 0) {
        fs::remove_all(options_.paths.descriptor_folder());
        fs::create_directory(options_.paths.descriptor_folder());
      }
      start();
    }
    now_.mono += 1s;
    now_.wall += std::chrono::seconds(static_cast<int64_t>(rng_.below(8)) - 5);
    set(static_cast<uint16_t>(rng_.below(8)), Urgency::at_once);
  }
  ASSERT_GE(published_.size(), 100u);
  for (size_t a = 0; a < published_.size(); a++) {
    for (size_t b = 0; b < a; b++) ASSERT_FALSE(discovery::contradict(published_[a], published_[b])) << a << " " << b;
  }
}

TEST_F(OwnDescriptorTest, SaysThatItsClockWasAheadOnce) {
  now_.wall += 24h;
  set(3);
  now_.wall -= 24h;
  set(7, Urgency::at_once);
  set(3, Urgency::at_once);
  EXPECT_EQ(said_.find("clock was ahead"), said_.rfind("clock was ahead"));
  EXPECT_NE(said_.find("clock was ahead"), std::string::npos);
}

TEST_F(OwnDescriptorTest, FindsItsWorkOnceAndPublishesNothingBefore) {
  options_.network.pow_bits = 3;
  start();
  set(3);
  EXPECT_TRUE(published_.empty());
  for (int i = 0; i < 100'000'000 && published_.empty(); i++) {
    own_->on_tick(now_);
    std::this_thread::yield();
  }
  ASSERT_EQ(published_.size(), 1u);
  EXPECT_TRUE(discovery::claimed_rank(published_.back(), options_.network) && discovery::check_work(published_.back(), options_.network));
  const auto work = published_.back().details.work;
  start();
  set(3);
  ASSERT_EQ(published_.size(), 2u) << "at once: it was kept";
  EXPECT_EQ(published_.back().details.work, work);
}

// Two days before an epoch ends the next one's is looked for, and what there is is good meanwhile.
TEST_F(OwnDescriptorTest, HasTheWorkOfTheNextEpochBeforeItBegins) {
  options_.network.pow_bits = 1;
  const uint16_t epoch = discovery::work_epoch_of(now_.wall);
  now_.wall = Wall(discovery::kWorkEpoch * (epoch + 1)) - 47h;
  start();
  set(3);
  for (int i = 0; i < 100'000'000 && (published_.empty() || published_.back().details.work->epoch == epoch); i++) {
    now_.mono += 1ms;
    own_->on_tick(now_);
    std::this_thread::yield();
    if (!published_.empty()) now_.mono += 10min;
  }
  ASSERT_FALSE(published_.empty());
  EXPECT_EQ(published_.back().details.work->epoch, epoch + 1);
  EXPECT_TRUE(discovery::claimed_rank(published_.back(), options_.network));
}

TEST_F(OwnDescriptorTest, ATrialHasASecondOfItsOwnAndIsNotPublished) {
  set(1);
  const size_t before = published_.size();
  RelayInfo r;
  r.wireguard = options_.keys.wireguard.pub;
  r.endpoints = {{IpAddress::v4(0xc6336408), 51820}};
  r.prekey = prekey_;
  r.created = options_.keys.created;
  const auto first = own_->sign_trial(now_, r), second = own_->sign_trial(now_, r);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_GT(first->body_signed_at, published_.back().body_signed_at);
  EXPECT_GT(second->body_signed_at, first->body_signed_at);
  EXPECT_EQ(published_.size(), before);
  // Also after a restart, which knows only what is on disk.
  start();
  set(2, Urgency::at_once);
  EXPECT_GT(published_.back().body_signed_at, second->body_signed_at);
}

TEST_F(OwnDescriptorTest, WhatWasMeasuredIsSaidWithTheNextSignature) {
  set(3);
  const MeasuredRelays found{7, {{1, 90}}, {}};
  pass(1h);
  own_->set_measured(now_, found);
  set(3);
  pass(1h);
  EXPECT_EQ(published_.size(), 1u) << "it is no reason to sign";
  for (int i = 0; i < 14; i++) pass(1h);
  ASSERT_GE(published_.size(), 2u);
  EXPECT_EQ(published_.back().details.measured, found);
  EXPECT_LE(published_.size(), 3u);
  start();
  set(3);
  EXPECT_EQ(published_.back().details.measured, found) << "after a restart as well";
}

}  // namespace
}  // namespace macrovpn::app
