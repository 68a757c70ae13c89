#include "core/routing/open_flows.h"

#include "core/routing/ip_packet.h"

namespace macrovpn::routing {
namespace {

constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4;

// Where the TCP header starts; 0: none that matters.  Only what is cheap is looked at, as this is asked of every packet.
size_t tcp_offset(Bytes p) {
  size_t at = 0;
  if (p.size() >= 40 && p[0] >> 4 == 4 && p[9] == 6 && (load_be16(&p[6]) & 0x1fff) == 0) at = (p[0] & 15u) * 4;
  if (p.size() >= 60 && p[0] >> 4 == 6 && p[6] == 6) at = 40;
  return at != 0 && p.size() >= at + 20 ? at : 0;
}

}  // namespace

void OpenFlows::on_packet(Bytes p, From from) {
  const size_t tcp = tcp_offset(p);
  if (tcp == 0) return;
  const uint8_t flags = p[tcp + 13] & (kFin | kSyn | kRst);
  if (flags == 0) return;
  const bool v4 = p[0] >> 4 == 4, out = from == From::program;
  const size_t far_end = v4 ? (out ? 16 : 12) : (out ? 24 : 8);
  Key k{};
  std::copy_n(p.begin() + static_cast<ptrdiff_t>(far_end), v4 ? 4 : 16, k.begin());
  std::copy_n(p.begin() + static_cast<ptrdiff_t>(tcp + (out ? 0 : 2)), 2, k.begin() + 16);
  std::copy_n(p.begin() + static_cast<ptrdiff_t>(tcp + (out ? 2 : 0)), 2, k.begin() + 18);
  if (flags == kSyn && out) return open(k);
  const auto f = flows_.find(k);
  if (f == flows_.end()) return;
  if ((flags & kFin) != 0) (out ? f->second.program_done : f->second.world_done) = true;
  if ((flags & kRst) == 0 && !(f->second.program_done && f->second.world_done)) return;
  by_age_.erase(f->second.opened);
  flows_.erase(f);
}

void OpenFlows::open(const Key& k) {
  const auto [f, is_new] = flows_.try_emplace(k);
  if (!is_new) by_age_.erase(f->second.opened);
  f->second = {++count_, false, false};
  by_age_[count_] = k;
  if (flows_.size() <= kMax) return;
  flows_.erase(by_age_.begin()->second);
  by_age_.erase(by_age_.begin());
}

}  // namespace macrovpn::routing
