#include "core/routing/path.h"

#include <algorithm>
#include <array>

#include "core/routing/weights.h"

namespace macrovpn::routing {
namespace {

bool contains(const std::vector<PeerId>& list, const PeerId& id) {
  return std::find(list.begin(), list.end(), id) != list.end();
}

struct Draw {
  const PathRequest& request;
  const Candidates& relays;
  const Network& network;
  Wall now;
  Rng& rng;
  std::vector<const RelayInfo*> chosen;

  bool compatible(const RelayInfo& r) const {
    return std::all_of(chosen.begin(), chosen.end(),
                       [&](const RelayInfo* c) { return diverse(*c, r, network); });
  }
  bool is_doubted(const PeerId& id) const { return std::binary_search(request.doubted.begin(), request.doubted.end(), id); }
  bool is_avoided(const RelayInfo& r) const { return contains(request.avoid, r.id) || contains(request.silent, r.id) || is_doubted(r.id); }
  bool suits_exit(const RelayInfo& r) const {
    return fits(r, Role::exit) && (request.hops > 1 || r.introducers.empty()) &&
           (!request.exit_region || relays.region_of(r) == *request.exit_region);
  }
  std::vector<const RelayInfo*> where(auto&& accept) const {
    std::vector<const RelayInfo*> out;
    for (const RelayInfo* r : relays.all()) {
      if (accept(*r) && compatible(*r)) out.push_back(r);
    }
    return out;
  }
  const RelayInfo* exit() {
    if (request.exit) {
      const RelayInfo* kept = relays.find(*request.exit);
      return kept != nullptr && fits(*kept, Role::exit) && compatible(*kept) ? kept : nullptr;
    }
    // A one-hop circuit prefers its guards, so that as few relays as possible learn who and where.
    for (const PeerId& g : request.hops == 1 ? request.guards : std::vector<PeerId>{}) {
      const RelayInfo* own = relays.find(g);
      if (own != nullptr && suits_exit(*own) && compatible(*own)) return own;
    }
    const auto usable = [&](const RelayInfo& r) { return suits_exit(r) && !is_avoided(r); };
    const auto strangers =
        where([&](const RelayInfo& r) { return usable(r) && !contains(request.guards, r.id); });
    return weighted_draw(strangers.empty() ? where(usable) : strangers, network, now, rng);
  }
  // Exit and middles behind what is chosen already.
  Result<std::vector<const RelayInfo*>> complete() {
    std::vector<const RelayInfo*> path = chosen;
    const RelayInfo* last = exit();
    if (last == nullptr) return fail("no exit relay is known that fits; add descriptors or widen the region");
    chosen.push_back(last);
    for (size_t i = 2; i < request.hops; i++) {
      const RelayInfo* next = middle();
      if (next == nullptr) {
        return fail("too few middle relays in different networks are known; add descriptors");
      }
      chosen.push_back(next);
      path.push_back(next);
    }
    path.push_back(last);
    return path;
  }
  const RelayInfo* middle() {
    const auto stranger = [&](const RelayInfo& r) { return fits(r, Role::middle) && !contains(request.guards, r.id); };
    // Out of the middle set: any; else who failed before; else who is being left, or one of our guards instead, since whoever hops wants another circuit.
    // Else anybody but our guards; in a small network, those too.
    enum { wanted, doubted, guards, left, kinds };
    std::array<std::vector<const RelayInfo*>, kinds> own;
    for (const PeerId& id : request.middles) {
      const RelayInfo* r = relays.find(id);
      if (r == nullptr || !fits(*r, Role::middle) || !compatible(*r) || contains(request.silent, id)) continue;
      if (contains(request.avoid, id)) own[left].push_back(r);
      else own[!stranger(*r) ? guards : is_doubted(id) ? doubted : wanted].push_back(r);
    }
    if (own[left].empty()) own[guards].clear();
    for (const auto& some : own) {
      if (!some.empty()) return weighted_draw(some, network, now, rng);
    }
    const auto strangers = where([&](const RelayInfo& r) { return stranger(r) && !is_avoided(r); });
    if (!strangers.empty()) return weighted_draw(strangers, network, now, rng);
    return weighted_draw(where([&](const RelayInfo& r) { return fits(r, Role::middle) && !is_avoided(r); }), network, now, rng);
  }
};

}  // namespace

bool fits(const RelayInfo& r, Role role) {
  switch (role) {
    case Role::guard:
      return r.flags.has(RelayFlag::guard) && r.introducers.empty();  // a client tells nobody else its address, to be introduced
    case Role::middle:
      return r.flags.has(RelayFlag::middle);
    case Role::exit:
      return r.flags.has(RelayFlag::exit);
  }
  return false;
}

bool diverse(const RelayInfo& a, const RelayInfo& b, const Network& network) {
  if (a.id == b.id || a.identity == b.identity) return false;
  if (a.as_number != 0 && a.as_number == b.as_number) return false;
  if (a.family && a.family == b.family) return false;
  for (const Endpoint& x : a.endpoints) {
    const unsigned length = x.address.is_v4() ? network.diversity_v4 : network.diversity_v6;
    const IpPrefix prefix = IpPrefix::of(x.address, length);
    for (const Endpoint& y : b.endpoints) {
      if (prefix.contains(y.address)) return false;
    }
  }
  return true;
}

WeightedDraw::WeightedDraw(std::span<const RelayInfo* const> candidates, const Network& network, Wall now)
    : candidates_(candidates), up_to_(weights_of(candidates, network, now)) {
  uint64_t total = 0;
  for (uint64_t& w : up_to_) w = total += w;
}

const RelayInfo* WeightedDraw::draw(Rng& rng) const {
  if (candidates_.empty()) return nullptr;
  const auto drawn = std::upper_bound(up_to_.begin(), up_to_.end(), rng.below(up_to_.back()));
  return candidates_[static_cast<size_t>(drawn - up_to_.begin())];
}

const RelayInfo* weighted_draw(std::span<const RelayInfo* const> candidates, const Network& network, Wall now, Rng& rng) {
  return WeightedDraw(candidates, network, now).draw(rng);
}

Result<std::vector<const RelayInfo*>> choose_path(const PathRequest& request, const Candidates& relays, const Network& network,
                                                  Wall now, Rng& rng) {
  MV_ASSERT(request.hops >= 1 && request.hops <= kMaxHops);
  if (request.hops == 1) return Draw{request, relays, network, now, rng, {}}.complete();
  // Guard first: it is fixed for months, so the rest adapts to it.  Only where nothing fits behind one (it is the last
  // exit itself, or in the network of all of them) the next one serves.
  Result<std::vector<const RelayInfo*>> failed =
      fail("no entry relay is known that fits; add descriptors of relays");
  for (const PeerId& id : request.guards) {
    const RelayInfo* guard = relays.find(id);
    if (guard == nullptr || !fits(*guard, Role::guard)) continue;
    auto path = Draw{request, relays, network, now, rng, {guard}}.complete();
    if (path.ok()) return path;
    failed = std::move(path);
  }
  return failed;
}

}  // namespace macrovpn::routing
