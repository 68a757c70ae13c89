#include "core/encryption/allowed_ips.h"

namespace macrovpn::encryption {

bool AllowedIps::insert(const IpPrefix& prefix, PeerRef peer) {
  last_ = {};
  const IpPrefix p = IpPrefix::of(prefix.address, prefix.length);
  auto& level = family(p.address.family())[p.length];
  const auto at = level.find(p.address);
  if (at != level.end()) {
    disown(at->second);
    at->second = {peer, ++named_};
  } else {
    if (size_ >= kMaxPrefixes) {
      if (level.empty()) family(p.address.family()).erase(p.length);
      return false;
    }
    level.emplace(p.address, Entry{peer, ++named_});
    size_++;
  }
  owned_[peer].emplace(named_, p);
  return true;
}

// Takes it off its owner's list.
void AllowedIps::disown(const Entry& e) {
  const auto list = owned_.find(e.owner);
  list->second.erase(e.named);
  if (list->second.empty()) owned_.erase(list);
}

// Takes it out of the levels.
void AllowedIps::forget(const IpPrefix& p) {
  ByLength& levels = family(p.address.family());
  const auto level = levels.find(p.length);
  level->second.erase(p.address);
  if (level->second.empty()) levels.erase(level);
  size_--;
}

void AllowedIps::remove(PeerRef peer) {
  last_ = {};
  const auto list = owned_.find(peer);
  if (list == owned_.end()) return;
  for (const auto& [named, prefix] : list->second) forget(prefix);
  owned_.erase(list);
}

void AllowedIps::remove_one(const IpPrefix& prefix, PeerRef peer) {
  last_ = {};
  const IpPrefix p = IpPrefix::of(prefix.address, prefix.length);
  const ByLength& levels = family(p.address.family());
  const auto level = levels.find(p.length);
  if (level == levels.end()) return;
  const auto at = level->second.find(p.address);
  if (at == level->second.end() || at->second.owner != peer) return;
  disown(at->second);
  forget(p);
}

PeerRef AllowedIps::find(const IpAddress& a) const {
  Last& last = last_[a.bytes().back() % 2];
  if (!last.valid || last.address != a) last = {a, look_up(a), true};
  return last.peer;
}

PeerRef AllowedIps::look_up(const IpAddress& a) const {
  for (const auto& [length, level] : family(a.family())) {
    const auto at = level.find(IpPrefix::of(a, length).address);
    if (at != level.end()) return at->second.owner;
  }
  return {};
}

std::vector<IpPrefix> AllowedIps::of(PeerRef peer) const {
  std::vector<IpPrefix> out;
  if (const auto list = owned_.find(peer); list != owned_.end()) {
    for (const auto& [named, prefix] : list->second) out.push_back(prefix);
  }
  return out;
}

std::optional<InnerPacket> parse_inner_packet(Bytes b) {
  if (b.size() >= 20 && b[0] >> 4 == 4) {
    const size_t length = load_be16(&b[2]);
    const size_t header = size_t{b[0]} % 16 * 4;
    if (header < 20 || length < header || length > b.size()) return std::nullopt;
    return InnerPacket{IpAddress::v4(*to_array<4>(b.subspan(12, 4))),
                       IpAddress::v4(*to_array<4>(b.subspan(16, 4))), length};
  }
  if (b.size() >= 40 && b[0] >> 4 == 6) {
    const size_t length = size_t{load_be16(&b[4])} + 40;
    if (length > b.size()) return std::nullopt;
    return InnerPacket{IpAddress::v6(*to_array<16>(b.subspan(8, 16))),
                       IpAddress::v6(*to_array<16>(b.subspan(24, 16))), length};
  }
  return std::nullopt;
}

}  // namespace macrovpn::encryption
