// Network: the rules that all nodes of one network share, from its signed network file.
#pragma once
#include <string>
#include <vector>

#include "base/time.h"
#include "model/ip.h"
#include "model/keys.h"

namespace macrovpn {

struct NetworkId {
  ByteArray<8> bytes{};
  auto operator<=>(const NetworkId&) const = default;
};

// A relay where newcomers begin, with the keys that have to answer there: whoever else answers at its address is nobody.
struct Seed {
  IdentityKey identity;
  PublicKey wireguard;
  std::vector<Endpoint> endpoints;  // 1..4
  bool operator==(const Seed&) const = default;
};

struct Network {
  NetworkId id;     // first 8 bytes of BLAKE2b-256("macrovpn network id 1" ‖ key)
  IdentityKey key;  // signs the file
  std::string name;
  Wall signed_at;   // whole seconds; of two files of one network the newer counts
  unsigned pow_bits = 0;
  // At most this many relays of one prefix in the directory.
  unsigned max_per_v4_24 = 2, max_per_v4_16 = 64, max_per_v6_48 = 2, max_per_v6_32 = 64;
  // No two hops of a circuit share a prefix of these lengths.
  unsigned diversity_v4 = 16, diversity_v6 = 32;
  Duration guard_age = std::chrono::hours(24 * 7);
  std::vector<Seed> seeds;
  // Ranges that count as global although the IANA registries say otherwise: labs on TEST-NET.
  std::vector<IpPrefix> extra_global;
  bool is_lab() const { return !extra_global.empty() || pow_bits < 8 || guard_age < std::chrono::hours(24); }
};

}  // namespace macrovpn
