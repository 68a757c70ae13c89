// A folder of signed descriptors, one a file NAME.descriptor: how relays are known.  A running relay rewrites
// its own there.
//
// scan() reads what is new or changed since the last one (by modification time, size and inode) and verifies
// it.  Files that were refused are tried again each time: one "from the future" becomes right by waiting.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/discovery/directory.h"

namespace macrovpn::shell {

inline constexpr Duration kRescanEvery = std::chrono::seconds(3);

class DescriptorFolder {
 public:
  DescriptorFolder(std::string path, const NetworkId& network) : path_(std::move(path)), network_(network) {}

  struct Refused {
    std::string file;
    Error why;
  };
  struct Changes {
    std::vector<RelayInfo> found;  // new or changed, verified
    std::vector<std::vector<uint8_t>> bytes;  // of each of them, as they were signed
    std::vector<PeerId> removed;   // whose file is gone
    std::vector<Refused> refused;
    size_t ignored = 0;  // beyond discovery::kMaxRelays files
  };
  // Fails only if the folder cannot be read at all.
  Result<Changes> scan(Wall now);

  // Verifies, then stores it under its relay's id; an older one than what is there is refused.
  Result<RelayInfo> add(Bytes descriptor, Wall now) const;
  // Stores a descriptor that this node signed.
  Result<void> put_own(const PeerId&, Bytes descriptor) const;
  Result<std::vector<uint8_t>> read(const PeerId&) const;
  const std::string& path() const { return path_; }

 private:
  struct Version {
    int64_t modified = 0;  // ns
    uint64_t size = 0, inode = 0;
    auto operator<=>(const Version&) const = default;
  };
  struct Known {
    Version version;
    PeerId id;
  };
  std::string file_of(const PeerId&) const;
  Result<std::map<std::string, Version>> list(size_t& ignored) const;
  Result<discovery::SignedDescriptor> verify_file(const std::string& name, Wall now) const;
  void forget_missing(const std::map<std::string, Version>& present, Changes& out);

  std::string path_;
  NetworkId network_;
  std::map<std::string, Known> known_;
};

}  // namespace macrovpn::shell
