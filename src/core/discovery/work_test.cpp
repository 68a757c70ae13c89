#include "core/discovery/work.h"

#include <gtest/gtest.h>

#include "crypto/argon2.h"

namespace macrovpn::discovery {
namespace {

const Wall kNow = wall_from_unix(1'800'000'000);

class Work : public ::testing::Test {
 protected:
  Work() {
    network_.id = {{1, 2, 3, 4, 5, 6, 7, 8}};
    network_.pow_bits = 2;
    descriptor_.relay.identity.bytes.fill(5);
    descriptor_.relay.signed_at = kNow;
  }
  WorkTask task() const { return {network_.id, descriptor_.relay.identity, work_epoch_of(kNow), network_.pow_bits}; }
  Network network_;
  SignedDescriptor descriptor_;
};

TEST_F(Work, IsFoundCheckedAndBoundToWhoDidIt) {
  const auto proof = search_work(task(), 0, 64);
  ASSERT_TRUE(proof);
  descriptor_.details.work = proof;
  EXPECT_EQ(claimed_rank(descriptor_, network_), proof->rank);
  EXPECT_LT(proof->rank, uint64_t{1} << 62);
  EXPECT_TRUE(check_work(descriptor_, network_));

  descriptor_.details.work->nonce++;
  EXPECT_FALSE(check_work(descriptor_, network_));
  descriptor_.details.work = proof;
  descriptor_.details.work->rank--;
  EXPECT_FALSE(check_work(descriptor_, network_)) << "a better rank than was worked for";
  descriptor_.details.work = proof;
  descriptor_.relay.identity.bytes[0]++;
  EXPECT_FALSE(check_work(descriptor_, network_)) << "somebody else's";
  descriptor_.relay.identity.bytes[0]--;
  network_.id.bytes[0]++;
  EXPECT_FALSE(check_work(descriptor_, network_)) << "of another network";
}

TEST_F(Work, HashesWhatTheProtocolPageSays) {
  std::vector<uint8_t> password;
  Writer(password).bytes(as_bytes("macrovpn work 1")).bytes(network_.id.bytes).bytes(descriptor_.relay.identity.bytes);
  Writer(password).le16(694).le64(77);
  const auto salt = crypto::blake2b_256({as_bytes("macrovpn work salt 1"), network_.id.bytes});
  const auto hash = crypto::argon2id(password, *to_array<16>(Bytes(salt).first(16)), {1, 16 * 1024});
  const auto proof = search_work({network_.id, descriptor_.relay.identity, 694, 0}, 77, 1);
  EXPECT_EQ(proof->rank, load_be64(hash->data()));
}

TEST_F(Work, IsGoodForItsEpochAndThreeDaysAround) {
  EXPECT_EQ(work_epoch_of(kNow), 694);
  EXPECT_EQ(work_epoch_of(Wall::min()), 0);
  const Wall start = Wall(kWorkEpoch * 694);
  descriptor_.details.work = WorkProof{694, 0, 0};
  const auto at = [&](Wall t) {
    descriptor_.relay.signed_at = t;
    return claimed_rank(descriptor_, network_).has_value();
  };
  EXPECT_TRUE(at(start));
  EXPECT_TRUE(at(start - kWorkOverlap));
  EXPECT_FALSE(at(start - kWorkOverlap - 1s));
  EXPECT_TRUE(at(start + kWorkEpoch + kWorkOverlap - 1s));
  EXPECT_FALSE(at(start + kWorkEpoch + kWorkOverlap));
}

TEST_F(Work, ThatIsMissingOrTooEasyHasNoRank) {
  EXPECT_FALSE(claimed_rank(descriptor_, network_));
  descriptor_.details.work = WorkProof{694, 0, uint64_t{1} << 62};
  EXPECT_FALSE(claimed_rank(descriptor_, network_));
  descriptor_.details.work->rank--;
  EXPECT_TRUE(claimed_rank(descriptor_, network_));
}

TEST_F(Work, IsNotAskedForWhereTheNetworkFileSaysZeroBits) {
  network_.pow_bits = 0;
  const auto rank = claimed_rank(descriptor_, network_);
  ASSERT_TRUE(rank);
  EXPECT_TRUE(check_work(descriptor_, network_));
  descriptor_.details.work = WorkProof{694, 0, 0};
  EXPECT_EQ(claimed_rank(descriptor_, network_), rank) << "a claim changes nothing there";
  descriptor_.relay.identity.bytes[0]++;
  EXPECT_NE(claimed_rank(descriptor_, network_), rank);
}

}  // namespace
}  // namespace macrovpn::discovery
