#include "shell/driver/steering.h"

#include <linux/filter.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "model/ids.h"

namespace macrovpn::shell {
namespace {

static_assert(kMaxWorkers == size_t{1} << kShardBits);

// Jumps by name, as counting instructions by hand goes wrong.
class Program {
 public:
  void add(unsigned code, uint32_t k = 0) { code_.push_back({static_cast<uint16_t>(code), 0, 0, k}); }
  // Goes to `label` if A ‹condition› k, else on.
  void jump_if(unsigned condition, uint32_t k, const char* label) {
    jumps_.push_back({code_.size(), label});
    code_.push_back({static_cast<uint16_t>(BPF_JMP | condition | BPF_K), 0, 0, k});
  }
  void jump(const char* label) {
    jumps_.push_back({code_.size(), label});
    code_.push_back({BPF_JMP | BPF_JA, 0, 0, 0});
  }
  void label(const char* name) { labels_[name] = code_.size(); }
  std::vector<sock_filter> finish() {
    for (const auto& [at, name] : jumps_) {
      const auto distance = static_cast<uint32_t>(labels_.at(name) - at - 1);
      if (code_[at].code == (BPF_JMP | BPF_JA)) {
        code_[at].k = distance;
      } else {
        code_[at].jt = static_cast<uint8_t>(distance);
      }
    }
    return code_;
  }

 private:
  std::vector<sock_filter> code_;
  std::vector<std::pair<size_t, std::string>> jumps_;
  std::map<std::string, size_t> labels_;
};

constexpr unsigned kLoadWord = BPF_LD | BPF_W | BPF_ABS, kLoadHalf = BPF_LD | BPF_H | BPF_ABS, kLoadByte = BPF_LD | BPF_B | BPF_ABS;
constexpr auto kNetwork = static_cast<uint32_t>(SKF_NET_OFF);  // offsets from here are in the IP header
constexpr unsigned kToX = BPF_MISC | BPF_TAX;

// By the source: address in M[0], port in A.
void append_hash(Program& p, uint32_t workers, Rng& rng) {
  p.label("hash");
  p.add(kLoadByte, kNetwork);
  p.add(BPF_ALU | BPF_RSH | BPF_K, 4);
  p.jump_if(BPF_JEQ, 6, "ipv6");
  p.add(kLoadWord, kNetwork + 12);
  p.add(BPF_ST, 0);
  p.add(BPF_LDX | BPF_B | BPF_MSH, kNetwork);  // the length of the header
  p.add(BPF_LD | BPF_H | BPF_IND, kNetwork);
  p.jump("mix");
  p.label("ipv6");
  p.add(kLoadWord, kNetwork + 8);
  for (const uint32_t at : {12u, 16u, 20u}) {
    p.add(kToX);
    p.add(kLoadWord, kNetwork + at);
    p.add(BPF_ALU | BPF_XOR | BPF_X);
    p.add(BPF_ALU | BPF_MUL | BPF_K, rng.u32() | 1);
  }
  p.add(BPF_ST, 0);
  p.add(kLoadHalf, kNetwork + 40);
  p.label("mix");
  p.add(BPF_ALU | BPF_MUL | BPF_K, rng.u32() | 1);
  p.add(kToX);
  p.add(BPF_LD | BPF_MEM, 0);
  p.add(BPF_ALU | BPF_MUL | BPF_K, rng.u32() | 1);
  p.add(BPF_ALU | BPF_XOR | BPF_X);
  p.add(kToX);
  p.add(BPF_ALU | BPF_RSH | BPF_K, 16);
  p.add(BPF_ALU | BPF_XOR | BPF_X);
  p.add(BPF_ALU | BPF_MUL | BPF_K, rng.u32() | 1);
  p.add(BPF_ALU | BPF_RSH | BPF_K, 16);
  p.add(BPF_ALU | BPF_MOD | BPF_K, workers);
  p.add(BPF_RET | BPF_A);
}

std::vector<sock_filter> steering_program(uint32_t workers, Rng& rng) {
  Program p;
  p.add(BPF_LD | BPF_W | BPF_LEN);
  p.jump_if(BPF_JGE, 12, "long enough");  // a load from behind the end would give it to worker 0
  p.jump("hash");
  p.label("long enough");
  p.add(kLoadWord, 0);
  p.jump_if(BPF_JEQ, 0x01000000, "first");
  p.jump_if(BPF_JEQ, 0x02000000, "response");
  p.jump_if(BPF_JEQ, 0x03000000, "owned");
  p.jump_if(BPF_JEQ, 0x04000000, "owned");
  p.jump("hash");
  p.label("first");
  p.add(BPF_RET | BPF_K, 0);
  p.label("response");
  p.add(kLoadByte, 11);
  p.jump("shard");
  p.label("owned");
  p.add(kLoadByte, 7);
  p.label("shard");
  p.add(BPF_ALU | BPF_RSH | BPF_K, 8 - kShardBits);
  p.jump_if(BPF_JGE, workers, "hash");
  p.add(BPF_RET | BPF_A);
  append_hash(p, workers, rng);
  return p.finish();
}

}  // namespace

Result<void> steer(int fd, size_t workers, Rng& rng) {
  MV_ASSERT(workers >= 2 && workers <= kMaxWorkers);
  std::vector<sock_filter> code = steering_program(static_cast<uint32_t>(workers), rng);
  const sock_fprog program{static_cast<uint16_t>(code.size()), code.data()};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) != 0)
    return fail(std::string("cannot share a UDP port among workers (") + std::strerror(errno) + "): start it with --workers 1");
  return {};
}

}  // namespace macrovpn::shell
