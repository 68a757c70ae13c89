// ResolvConf: /etc/resolv.conf while the VPN is up, and exactly what was there before once it is down.
//
// What was there (a file with its owner and mode, a symbolic link, or nothing) is kept durably before the
// first byte is changed, so that a crash at any moment leaves either the old state, or ours and the kept one.
// A link is replaced itself, not what it leads to.  Where the file is a mount of its own (containers), which
// cannot be renamed over, it is written in place; a torn write is taken for ours.
//
// Somebody else (a DHCP client) may write the file meanwhile: take() keeps theirs as what is to be restored,
// give_back() then leaves it alone.
#pragma once
#include <string>

#include "base/result.h"

namespace macrovpn::shell::system {

class ResolvConf {
 public:
  // `kept`: where the original is kept.
  ResolvConf(std::string path, std::string kept) : path_(std::move(path)), kept_(std::move(kept)) {}

  static std::string our_contents();
  bool is_ours() const;
  // Harmless when it is ours already; ours is never kept as the original.
  Result<void> take();
  enum class Gave : uint8_t {
    nothing,
    restored,
    left_to_others,
    original_unknown  // ours is there, but nothing was kept
  };
  Result<Gave> give_back();

 private:
  std::string path_, kept_;
};

}  // namespace macrovpn::shell::system
