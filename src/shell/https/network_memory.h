// Which networks needed HTTPS in the last 24 hours, without a note of where somebody was.
//
// A network is known by the hardware address of its IPv4 gateway.  What is kept is a MAC of that under a secret that is drawn with the
// file, and the file lies where a restart of the computer ends it: in a folder of the runtime kind, and only if that is in memory (tmpfs).
// On a disk, secret and MACs together would tell who takes it, and guesses gateways, where the computer was; so there it is not written.
//
//   file: secret 32 | entries: tag 16 | end 8 (unix seconds LE), at most kMost, the newest last
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "base/time.h"
#include "crypto/hash.h"

namespace macrovpn::shell::https {

// The gateway's hardware address as the system knows it now; nothing: no gateway, or nobody has asked for it yet.
std::optional<std::string> read_network_name();
// The parts of it, from what /proc/net/route and /proc/net/arp say.
std::optional<std::string> network_name_from(std::string_view routes, std::string_view neighbours);

class NetworkMemory {
 public:
  static constexpr size_t kMost = 32;
  static constexpr Duration kKept = std::chrono::hours(24);

  // file: empty: nothing is kept beyond this run.
  NetworkMemory(std::string file, Rng& rng);
  // In a folder that lies in memory; else an empty name.
  static std::string file_in(const std::string& runtime_folder);

  bool needs_https(const std::string& network, Wall now) const;
  void note(const std::string& network, bool needs_https, Wall now);

 private:
  struct Entry {
    crypto::Mac16 tag;
    int64_t end = 0;
  };
  crypto::Mac16 tag_of(const std::string& network) const;
  void load(Bytes bytes);
  void store() const;

  std::string file_;
  ByteArray<32> secret_;
  std::vector<Entry> entries_;
};

}  // namespace macrovpn::shell::https
