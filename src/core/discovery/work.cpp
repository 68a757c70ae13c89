#include "core/discovery/work.h"

#include "crypto/argon2.h"

namespace macrovpn::discovery {
namespace {

constexpr crypto::Argon2Cost kCost{1, 16 * 1024};
constexpr unsigned kMaxBits = 40;

bool is_good(uint64_t rank, unsigned bits) { return bits == 0 || rank >> (64 - bits) == 0; }

std::optional<uint64_t> rank_of(const NetworkId& network, const IdentityKey& identity, uint16_t epoch, uint64_t nonce) {
  std::vector<uint8_t> password;
  Writer(password).bytes(as_bytes("macrovpn work 1")).bytes(network.bytes).bytes(identity.bytes).le16(epoch).le64(nonce);
  const auto salt = crypto::blake2b_256({as_bytes("macrovpn work salt 1"), network.bytes});
  const auto hash = crypto::argon2id(password, *to_array<16>(Bytes(salt).first(16)), kCost);
  if (!hash) return std::nullopt;
  return load_be64(hash->data());
}

bool epoch_fits(uint16_t epoch, Wall signed_at) {
  const Wall start = Wall(kWorkEpoch * epoch);
  return signed_at >= start - kWorkOverlap && signed_at < start + kWorkEpoch + kWorkOverlap;
}

}  // namespace

uint16_t work_epoch_of(Wall t) {
  return static_cast<uint16_t>(std::clamp<int64_t>(t.time_since_epoch() / kWorkEpoch, 0, UINT16_MAX));
}

std::optional<WorkProof> search_work(const WorkTask& task, uint64_t first, unsigned tries) {
  MV_ASSERT(task.bits <= kMaxBits);
  for (unsigned i = 0; i < tries; i++) {
    const auto rank = rank_of(task.network, task.identity, task.epoch, first + i);
    if (rank && is_good(*rank, task.bits)) return WorkProof{task.epoch, first + i, *rank};
  }
  return std::nullopt;
}

std::optional<uint64_t> claimed_rank(const SignedDescriptor& d, const Network& network) {
  if (network.pow_bits == 0) {
    return load_be64(crypto::blake2b_256({as_bytes("macrovpn rank 1"), network.id.bytes, d.relay.identity.bytes}).data());
  }
  const auto& work = d.details.work;
  if (!work || !is_good(work->rank, network.pow_bits) || !epoch_fits(work->epoch, d.relay.signed_at)) return std::nullopt;
  return work->rank;
}

bool check_work(const SignedDescriptor& d, const Network& network) {
  if (network.pow_bits == 0) return true;
  const WorkProof& work = *d.details.work;
  return rank_of(network.id, d.relay.identity, work.epoch, work.nonce) == work.rank;
}

}  // namespace macrovpn::discovery
