#include <CLI/CLI.hpp>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "app/newcomers.h"
#include "app/peer_list.h"
#include "app/start_daemon.h"
#include "core/discovery/liveness_map.h"
#include "core/peers/observations.h"
#include "shell/clock.h"
#include "shell/config/atomic_file.h"
#include "shell/config/descriptor_folder.h"
#include "shell/control/client.h"

namespace macrovpn::app {
namespace {

using discovery::PeerQuery;
using nlohmann::json;
using shell::control::NoDaemon;

struct PeerFlags {
  bool json = false, exits = false, guards = false, verified = false, unseen = false, alive = false;
  std::vector<std::string> regions, preferred;
  std::string min_bandwidth, sort = "best";
  double max_latency_ms = 0, min_reputation = 0;  // percent
  size_t limit = 0;
};

Result<PeerQuery> query_from(const PeerFlags& f) {
  if (!f.regions.empty() && !f.preferred.empty()) return fail("--region and --prefer-region exclude each other; choose one");
  json j{{"max_latency_ms", f.max_latency_ms}, {"min_reputation", f.min_reputation / 100}, {"sort", f.sort},
         {"prefer_regions", !f.preferred.empty()}, {"verified_only", f.verified}, {"keep_unseen", f.unseen}};
  PeerQuery q = query_of(j);
  if (f.alive) q.dead = PeerQuery::Dead::left_out;
  if (f.exits) q.roles.set(RelayFlag::exit);
  if (f.guards) q.roles.set(RelayFlag::guard);
  for (const std::string& text : f.preferred.empty() ? f.regions : f.preferred) {
    const auto region = shell::parse_region(text);
    if (!region) return fail("'" + text + "' is no country code; write two capitals like NO");
    q.regions.push_back(*region);
  }
  if (!f.min_bandwidth.empty()) {
    const auto rate = shell::parse_bandwidth(f.min_bandwidth);
    if (!rate) return fail("--min-bandwidth takes a rate like \"10 Mbit/s\" or \"2 MB/s\"");
    q.min_bandwidth = *rate;
  }
  return q;
}

// ---- where the answers come from

Result<json> ask_daemon(shell::control::Client& daemon, const PeerQuery& q, size_t limit) {
  json all{{"peers", json::array()}};
  json params = to_json(q);
  while (true) {
    params["from"] = all["peers"].size();
    TRY(const json part, daemon.call("peers", params));
    all["matched"] = part.at("matched");
    all["known"] = part.at("known");
    for (const json& p : part.at("peers")) {
      if (all["peers"].size() < limit) all["peers"].push_back(p);
    }
    if (part["peers"].empty() || all["peers"].size() >= std::min(limit, part["matched"].get<size_t>())) return all;
  }
}

// Without a daemon: what is stored.
Result<json> read_files(const Home& home, const PeerQuery& q, size_t limit) {
  TRY(const Network network, open_network(home));
  shell::DescriptorFolder folder(home.descriptor_folder(), network.id);
  const Wall now = shell::read_clocks().wall;
  discovery::Directory directory;
  for (const RelayInfo& r : relays_on_disk(home, network, now)) directory.insert(r);
  peers::Observations seen;
  if (const auto saved = shell::read_own_file(home.paths.observations_file(), peers::Observations::kMaxSaved)) {
    if (auto loaded = peers::Observations::load(*saved); loaded.ok()) seen = std::move(loaded).value();
  }
  discovery::LivenessMemory liveness;
  if (const auto saved = shell::read_own_file(home.paths.liveness_file(), discovery::LivenessMemory::kMaxSaved)) {
    if (auto loaded = discovery::LivenessMemory::load(*saved); loaded.ok()) liveness = std::move(loaded).value();
    liveness.drop_old(now);
  }
  RegionWatch regions(home.settings, home.paths);
  const auto book = measured_on_disk(home, network, now);
  const PeerSources sources{directory, [&](const PeerId& id) { return seen.seen(id, now); },
                            [&](const RelayInfo& r, discovery::PeerFacts& f) {
                              judge_region(regions, r, f);
                              judge_bandwidth(book, r.id, r.bandwidth, f);
                            },
                            [&](const PeerId& id) { return liveness.of(discovery::short_id_of(id)); },
                            [&](const PeerId& id) { return details_in(folder, id); }};
  return peers_json(sources, q, 0, limit, now);
}

// ---- for people

std::string rate_text(uint64_t bytes_per_second) {
  const double bits = static_cast<double>(bytes_per_second) * 8;
  char out[32];
  if (bits >= 999.5e6)
    std::snprintf(out, sizeof out, "%.1f Gbit/s", bits / 1e9);
  else
    std::snprintf(out, sizeof out, bits < 9.95e6 ? "%.1f Mbit/s" : "%.0f Mbit/s", bits / 1e6);
  return out;
}

std::string region_text(const json& r) {
  if (!r.contains("code")) return "-";
  const std::string code = r["code"], database = r.value("database", "");
  const std::string doubt = database.empty() || database == code ? "" : ", by address " + database;
  return code + " " + r.at("is").get<std::string>() + doubt;
}

std::string bandwidth_text(const json& b) {
  if (!b.contains("bytes_per_second")) return "-";
  return rate_text(b["bytes_per_second"]) + " " + b.at("is").get<std::string>();
}

std::string latency_text(const json& p) {
  if (!p.contains("seen") || !p["seen"].contains("latency_ms")) return "-";
  return std::to_string(std::lround(p["seen"]["latency_ms"].get<double>())) + " ms";
}

std::string price_text(const json& p) {
  if (!p.contains("price")) return "-";
  if (p["price"].contains("free")) return "free";
  return shell::amount_text(p["price"].at("bytes_per_token")) + " a token";
}

std::string roles_text(const json& p) {
  std::string out;
  for (const json& role : p.at("roles")) out += (out.empty() ? "" : ",") + role.get<std::string>();
  return out.empty() ? "none now" : out;
}

std::string worked_text(const json& p) {
  if (!p.contains("seen")) return "not used yet";
  const double worked = p["seen"].at("worked"), all = worked + p["seen"].at("failed").get<double>();
  return std::to_string(std::lround(worked / all * 100)) + " % of " + std::to_string(std::lround(all));
}

std::string answers_text(const json& p) {
  const auto answers = p.find("answers");
  return answers == p.end() ? "-" : answers->get<bool>() ? "yes" : "no";
}

std::vector<std::string> row_of(const json& p) {
  return {p.at("id").get<std::string>().substr(0, 8), region_text(p.at("region")), bandwidth_text(p.at("bandwidth")), latency_text(p),
          price_text(p), roles_text(p), std::to_string(p.at("age_days").get<int64_t>()) + " d", answers_text(p), worked_text(p)};
}

// A table for eyes; without a terminal one relay a line, its fields between tabs.
void print_table(const json& found) {
  const bool eyes = isatty(1) != 0;
  std::vector<std::vector<std::string>> rows;
  if (eyes) rows.push_back({"relay", "region", "bandwidth", "latency", "price", "roles", "age", "answers", "worked"});
  for (const json& p : found.at("peers")) rows.push_back(row_of(p));
  std::vector<size_t> width(9);
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); i++) width[i] = std::max(width[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); i++) {
      line += row[i];
      if (i + 1 != row.size()) line += eyes ? std::string(width[i] - row[i].size() + 2, ' ') : "\t";
    }
    std::printf("%s\n", line.c_str());
  }
  if (!eyes) return;
  std::printf("%zu shown, %zu fit, %zu known. Latency and \"worked\" are what this computer saw itself, \"answers\" what relays say.\n", found["peers"].size(),
              found.at("matched").get<size_t>(), found.at("known").get<size_t>());
}

Result<int> peers(const Program& program, const PeerFlags& f) {
  TRY(const Home home, open_home(program));
  if (!has_network(home)) return complain({kNoNetworkYet}, kNoNetwork);
  TRY(const PeerQuery query, query_from(f));
  const size_t limit = f.limit == 0 ? discovery::kMaxRelays : f.limit;
  auto daemon = reach_daemon(home.paths.control_socket());
  if (!daemon && daemon.error().why != NoDaemon::Why::not_running) return complain(daemon.error().error, kFailed);
  try {
    TRY(const json found, daemon ? ask_daemon(*daemon, query, limit) : read_files(home, query, limit));
    f.json ? print_json(found) : print_table(found);
  } catch (const json::exception&) {
    return fail("the daemon answered in a way that this release does not understand; restart it after an update");
  }
  return kDone;
}

}  // namespace

void add_peers(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("peers", "the relays that you know: where, how fast, and how well they worked for you");
  cmd->footer(
      "Nobody is asked: it is a look at what this computer holds.  \"claimed\" is what a relay says of itself, \"verified\" is what was found\n"
      "to be so.  Examples:\n  macrovpn peers --exit --region NO,SE\n  macrovpn peers --min-bandwidth \"50 Mbit/s\" --sort latency");
  auto f = std::make_shared<PeerFlags>();
  cmd->add_flag("--exit", f->exits, "exits only");
  cmd->add_flag("--guard", f->guards, "entries only");
  cmd->add_option("--region", f->regions, "only in these countries, like NO,SE")->delimiter(',');
  cmd->add_option("--prefer-region", f->preferred, "those in these countries first")->delimiter(',');
  cmd->add_option("--min-bandwidth", f->min_bandwidth, "like \"10 Mbit/s\"");
  cmd->add_option("--max-latency", f->max_latency_ms, "milliseconds, as seen here")->check(CLI::Range(0.0, 60'000.0));
  cmd->add_option("--min-reputation", f->min_reputation, "how often it worked here, in percent")->check(CLI::Range(0.0, 100.0));
  cmd->add_flag("--unseen", f->unseen, "also those of which latency or reputation is not known");
  cmd->add_flag("--alive", f->alive, "without those that are believed not to answer");
  cmd->add_flag("--verified", f->verified, "claims of region and bandwidth do not count");
  cmd->add_option("--sort", f->sort, "best, latency, bandwidth, reputation or age")
      ->check(CLI::IsMember({"best", "latency", "bandwidth", "reputation", "age"}));
  cmd->add_option("--limit", f->limit, "show so many at most");
  cmd->add_flag("--json", f->json, "for programs");
  cmd->callback([&program, f] { program.action = [&program, f] { return peers(program, *f); }; });
}

}  // namespace macrovpn::app
