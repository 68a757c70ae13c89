#include "app/peer_list.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/discovery/body.h"

namespace macrovpn::app {

using discovery::PeerFacts;
using discovery::PeerOrder;
using discovery::PeerQuery;
using discovery::Proof;
using nlohmann::json;

namespace {

constexpr std::pair<PeerOrder, const char*> kOrders[] = {{PeerOrder::best, "best"},
                                                         {PeerOrder::latency, "latency"},
                                                         {PeerOrder::bandwidth, "bandwidth"},
                                                         {PeerOrder::reputation, "reputation"},
                                                         {PeerOrder::age, "age"}};
constexpr std::pair<RelayFlag, const char*> kRoles[] = {{RelayFlag::guard, "guard"}, {RelayFlag::middle, "middle"}, {RelayFlag::exit, "exit"}};
constexpr size_t kMaxRegions = 64;

std::string text_of(const Region& r) { return {r.code.begin(), r.code.end()}; }

json roles_of(RelayFlags flags) {
  json out = json::array();
  for (const auto& [flag, name] : kRoles) {
    if (flags.has(flag)) out.push_back(name);
  }
  return out;
}

double ms(Duration d) { return static_cast<double>(d / 1us) / 1000; }

json seen_json(const RelaySeen& s) {
  json out{{"worked", s.worked}, {"failed", s.failed}, {"reputation", s.reputation()}};
  if (s.round_trip != Duration::zero()) out["latency_ms"] = ms(s.round_trip);
  if (s.throughput.bytes_per_second != 0) out["bytes_per_second"] = s.throughput.bytes_per_second;
  return out;
}

json peer_json(const PeerFacts& f, const std::optional<RelayDetails>& details, Wall now) {
  json out{{"id", to_hex(f.id.bytes)},
           {"roles", roles_of(f.flags)},
           {"region", {{"is", name_of(f.region_is)}}},
           {"bandwidth", {{"is", name_of(f.bandwidth_is)}}},
           {"age_days", std::max<int64_t>(0, (now - f.created) / std::chrono::hours(24))}};
  if (f.region.known()) out["region"]["code"] = text_of(f.region);
  if (f.database.known()) out["region"]["database"] = text_of(f.database);
  if (f.bandwidth_is != Proof::unknown) out["bandwidth"]["bytes_per_second"] = f.bandwidth.bytes_per_second;
  if (f.seen && f.seen->was_used()) out["seen"] = seen_json(*f.seen);
  if (f.answers != discovery::Liveness::unknown) out["answers"] = f.answers == discovery::Liveness::alive;
  if (details) out["price"] = details->price ? json{{"bytes_per_token", details->price->bytes_per_token()}} : json{{"free", true}};
  return out;
}

}  // namespace

json to_json(const PeerQuery& q) {
  json out{{"roles", roles_of(q.roles)},
           {"min_bandwidth", q.min_bandwidth.bytes_per_second},
           {"max_latency_ms", ms(q.max_latency)},
           {"min_reputation", q.min_reputation},
           {"regions", json::array()},
           {"prefer_regions", q.region_rule == PeerQuery::Regions::preferred},
           {"verified_only", q.claims == PeerQuery::Claims::do_not_count},
           {"leave_out_dead", q.dead == PeerQuery::Dead::left_out},
           {"keep_unseen", q.unseen == PeerQuery::Unseen::kept}};
  for (const Region& r : q.regions) out["regions"].push_back(text_of(r));
  for (const auto& [order, name] : kOrders) {
    if (q.order == order) out["sort"] = name;
  }
  return out;
}

PeerQuery query_of(const json& j) {
  PeerQuery q;
  for (const json& role : j.value("roles", json::array())) {
    for (const auto& [flag, name] : kRoles) {
      if (role.get<std::string>() == name) q.roles.set(flag);
    }
  }
  q.min_bandwidth.bytes_per_second = j.value("min_bandwidth", uint64_t{0});
  q.max_latency = std::chrono::microseconds(static_cast<int64_t>(std::clamp(j.value("max_latency_ms", 0.0), 0.0, 1e6) * 1000));
  q.min_reputation = std::clamp(j.value("min_reputation", 0.0), 0.0, 1.0);
  for (const json& region : j.value("regions", json::array())) {
    const std::string code = region.get<std::string>();
    if (code.size() == 2 && q.regions.size() < kMaxRegions)
      q.regions.push_back({{static_cast<uint8_t>(code[0]), static_cast<uint8_t>(code[1])}});
  }
  if (j.value("prefer_regions", false)) q.region_rule = PeerQuery::Regions::preferred;
  if (j.value("verified_only", false)) q.claims = PeerQuery::Claims::do_not_count;
  if (j.value("leave_out_dead", false)) q.dead = PeerQuery::Dead::left_out;
  if (j.value("keep_unseen", false)) q.unseen = PeerQuery::Unseen::kept;
  for (const auto& [order, name] : kOrders) {
    if (j.value("sort", "best") == name) q.order = order;
  }
  return q;
}

std::vector<PeerFacts> all_facts(const PeerSources& from, Wall now) {
  std::vector<PeerFacts> out;
  out.reserve(from.directory.relays().size());
  for (const auto& [id, relay] : from.directory.relays()) {
    if (relay->expiry <= now) continue;
    out.push_back(discovery::facts_of(*relay, from.seen(id)));
    from.judge(*relay, out.back());
    out.back().answers = from.liveness(id);
  }
  return out;
}

void judge_region(RegionWatch& regions, const RelayInfo& relay, PeerFacts& facts) {
  facts.database = regions.database_says(relay);
  facts.region_is = regions.judge(relay, facts.seen);
}

void judge_bandwidth(const discovery::BandwidthBook& book, const PeerId& id, Bandwidth claimed, PeerFacts& facts) {
  if (facts.bandwidth_is == Proof::verified) return;
  const auto it = book.measured.find(discovery::short_id_of(id));
  facts.bandwidth = it == book.measured.end() ? claimed : std::min(claimed, it->second);
  facts.bandwidth_is = it != book.measured.end() ? Proof::verified : claimed.bytes_per_second != 0 ? Proof::claimed : Proof::unknown;
}

std::optional<RelayDetails> details_in(const shell::DescriptorFolder& folder, const PeerId& id) {
  const auto bytes = folder.read(id);
  if (!bytes) return std::nullopt;
  Reader r(*bytes);
  const auto body = discovery::parse_body(r.take(r.le16()));
  if (!r.ok() || !body || discovery::peer_id_of(body->relay.identity) != id) return std::nullopt;
  return body->details;
}

json peers_json(const PeerSources& sources, PeerQuery q, size_t from, size_t most, Wall now) {
  const auto facts = all_facts(sources, now);
  q.most = from > facts.size() ? facts.size() : from + std::min(most, facts.size());
  const auto found = discovery::find_peers(facts, q, now);
  json out{{"peers", json::array()}, {"matched", found.matched}, {"known", facts.size()}};
  for (size_t i = from; i < found.first.size(); i++) out["peers"].push_back(peer_json(*found.first[i], sources.details(found.first[i]->id), now));
  return out;
}

}  // namespace macrovpn::app
