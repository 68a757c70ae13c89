#include "shell/config/descriptor_folder.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "crypto/x25519.h"
#include "shell/config/atomic_file.h"

namespace macrovpn::shell {
namespace {

const Wall kNow = wall_from_unix(1'800'000'000);
constexpr NetworkId kNetwork{{9}};

class Folder : public ::testing::Test {
 protected:
  Folder() {
    char name[] = "/tmp/mv-descriptors-XXXXXX";
    dir_ = mkdtemp(name);
    info_.endpoints = {*Endpoint::parse("192.0.2.7:51820")};
    info_.wireguard = crypto::x25519_generate(rng_).pub;
  }
  ~Folder() override { std::filesystem::remove_all(dir_); }
  std::vector<uint8_t> signed_at(Wall when) {
    return discovery::sign_descriptor(info_, kNetwork, key_, when);
  }
  void put(const std::string& name, Bytes b) { ASSERT_TRUE(write_file(dir_ + "/" + name, b).ok()); }

  SeededRng rng_{5};
  crypto::SigningKey key_ = crypto::ed25519_generate(rng_);
  PeerId id_ = discovery::peer_id_of(key_.pub);
  RelayInfo info_;
  std::string dir_;
};

TEST_F(Folder, TellsWhatIsNewOnce) {
  DescriptorFolder f(dir_, kNetwork);
  put("a.descriptor", signed_at(kNow));
  put("notes.txt", as_bytes("not a descriptor"));
  auto c = f.scan(kNow);
  ASSERT_TRUE(c);
  ASSERT_EQ(c->found.size(), 1u);
  EXPECT_EQ(c->found[0].id, id_);
  EXPECT_TRUE(c->refused.empty());
  EXPECT_TRUE(f.scan(kNow)->found.empty());
  put("a.descriptor", signed_at(kNow + 60s));
  EXPECT_EQ(f.scan(kNow + 60s)->found.at(0).signed_at, kNow + 60s);
}

TEST_F(Folder, TellsWhatIsGoneButNotWhatWasRenamed) {
  DescriptorFolder f(dir_, kNetwork);
  put("a.descriptor", signed_at(kNow));
  ASSERT_TRUE(f.scan(kNow).ok());
  std::filesystem::rename(dir_ + "/a.descriptor", dir_ + "/b.descriptor");
  EXPECT_TRUE(f.scan(kNow)->removed.empty());
  std::filesystem::remove(dir_ + "/b.descriptor");
  EXPECT_EQ(f.scan(kNow)->removed, std::vector{id_});
  EXPECT_TRUE(f.scan(kNow)->removed.empty());
}

TEST_F(Folder, RefusesWhatDoesNotVerifyUntilItDoes) {
  DescriptorFolder f(dir_, kNetwork);
  put("early.descriptor", signed_at(kNow + std::chrono::hours(1)));
  put("junk.descriptor", as_bytes("junk"));
  put("huge.descriptor", std::vector<uint8_t>(5000));
  const auto c = f.scan(kNow);
  ASSERT_TRUE(c);
  EXPECT_EQ(c->refused.size(), 3u);
  const auto later = f.scan(kNow + std::chrono::hours(1));
  EXPECT_EQ(later->found.size(), 1u);
  EXPECT_EQ(later->refused.size(), 2u);
}

TEST_F(Folder, AddsTheNewerOnly) {
  const DescriptorFolder f(dir_, kNetwork);
  EXPECT_FALSE(f.add(as_bytes("junk"), kNow).ok());
  ASSERT_TRUE(f.add(signed_at(kNow), kNow).ok());
  EXPECT_TRUE(f.add(signed_at(kNow + 1s), kNow).ok());
  EXPECT_NE(f.add(signed_at(kNow), kNow).error().message.find("newer"), std::string::npos);
  EXPECT_TRUE(equal(*f.read(id_), signed_at(kNow + 1s)));
}

TEST_F(Folder, SaysWhenItIsMissing) {
  EXPECT_FALSE(DescriptorFolder(dir_ + "/nowhere", kNetwork).scan(kNow).ok());
}

}  // namespace
}  // namespace macrovpn::shell
