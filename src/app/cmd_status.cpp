#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "app/start_daemon.h"
#include "app/system_status.h"
#include "core/controller/state.h"
#include "shell/control/client.h"

namespace macrovpn::app {
namespace {

using controller::State;
using nlohmann::json;
using shell::control::NoDaemon;

std::string words_for(const std::string& id, const std::string& cause) {
  for (const State s : {State::off, State::starting, State::connected, State::reconnecting, State::blocked,
                        State::unprotected}) {
    if (id == controller::id_of(s)) return controller::word_of(s) + (cause.empty() ? "" : ": " + cause);
  }
  return id;
}

void print_circuit(const json& c) {
  std::string path;
  for (const json& hop : c.value("path", json::array())) {
    path += (path.empty() ? "" : " > ") + hop.value("id", "").substr(0, 8);
    if (const std::string region = hop.value("region", ""); !region.empty()) path += " (" + region + ")";
  }
  std::printf("circuit    %s  %s", c.value("state", "").c_str(), path.c_str());
  if (c.contains("build_ms")) std::printf("  ready after %.0f ms", c["build_ms"].get<double>());
  if (c.value("one_round_trip", false)) std::printf(" in one round trip");
  std::printf("\n");
  if (const int mtu = c.value("mtu", 0); mtu != 0 && mtu < 1280 && c.value("state", "") == "ready")
    std::printf("           IPv4 only: a network on the way loses packets of more than %d bytes\n", mtu);
}

void print_service(const json& relay) {
  const std::string service = relay.value("service", "open"), why = relay.value("why", "");
  if (service != "open")
    std::printf("           %s: %s\n", service.c_str(),
                why == "hours"    ? "outside of its hours"
                : why == "amount" ? "the month's amount is used up"
                                  : "it was told to end");
  const auto amount = [&](const char* key) { return shell::amount_text(relay.value(key, uint64_t{0})); };
  const std::string limit = relay.contains("month_amount") ? " of " + amount("month_amount") : "";
  std::printf("carried    %s today, %s%s this month, %s in all\n", amount("today_bytes").c_str(),
              amount("month_bytes").c_str(), limit.c_str(), amount("total_bytes").c_str());
}

// Only what is missing: with all of it there is nothing to say.
void print_speed(const json& s) {
  const json trains = s.value("trains", json::object());
  const json devices = s.value("devices", json::array());
  const bool alone = !trains.value("out", true) || !trains.value("in", true);
  const bool apart = std::any_of(devices.begin(), devices.end(), [](const json& d) { return !d.value("superpackets", true); });
  if (alone)
    std::printf("speed      lower than it could be: this kernel or network card takes datagrams one by one (UDP_SEGMENT and UDP_GRO are missing)\n");
  if (apart)
    std::printf("speed      lower than it could be: a device takes packets one by one; programs started anew may do better\n");
}

// Only what is not as usual.
void print_transport(const json& s) {
  const json t = s.value("transport", json::object());
  const std::string trouble = t.value("https_trouble", "");
  if (t.value("entry", "") == "https")
    std::printf("transport  HTTPS (TCP), as UDP does not pass here; slower, and as well protected\n");
  if (trouble == "wrong_certificate")
    std::printf("transport  something else answers on the HTTPS port of an entry relay, with another certificate; it was not used\n");
  else if (trouble != "" && s.value("state", "") != "connected")
    std::printf("transport  neither UDP nor HTTPS reaches an entry relay\n");
}

void print_status(const json& s) {
  std::printf("%s\n", words_for(s.value("state", ""), s.value("cause", "")).c_str());
  const json network = s.value("network", json::object());
  std::printf("network    %s%s\n", network.value("name", "").c_str(),
              network.value("lab", false) ? "  (a lab: not for real use)" : "");
  std::printf("relays     %d known, %d in a circuit\n", s.value("relays_known", 0), s.value("hops", 0));
  const json directory = s.value("directory", json::object());
  if (const std::string line = directory.value("progress", ""); !line.empty()) std::printf("           %s\n", line.c_str());
  if (const std::string line = directory.value("refused", ""); !line.empty())
    std::printf("           %s\n           to use it all the same: macrovpn network accept\n", line.c_str());
  if (const int refused = s.value("descriptors_refused", 0); refused != 0)
    std::printf("           %d descriptors were refused: see `macrovpn descriptor list`\n", refused);
  for (const json& c : s.value("circuits", json::array())) print_circuit(c);
  for (const json& d : s.value("devices", json::array()))
    std::printf("programs   group %s: %llu bytes out, %llu in\n", d.value("group", "").c_str(),
                d.value("bytes_out", 0ull), d.value("bytes_in", 0ull));
  if (s.contains("phones"))
    std::printf("devices    %d added; UDP port %d %s\n", s["phones"].value("count", 0), s["phones"].value("port", 0),
                s["phones"].value("open", true) ? "is open for them" : "is taken by another program, so they cannot reach this node");
  print_transport(s);
  print_speed(s);
  print_kill_switch(s);
  if (s.contains("relay")) {
    const json& r = s["relay"];
    std::printf("relay      %s%s: %d sessions, %d legs, %d leases, %llu bytes carried\n",
                r.value("id", "").substr(0, 8).c_str(), r.value("exit", false) ? ", an exit" : "",
                r.value("sessions", 0), r.value("legs", 0), r.value("leases", 0),
                r.value("bytes_relayed", 0ull));
    const json w = s.value("workers", json::object());
    if (w.value("count", 1) > 1)
      std::printf("workers    %d; %llu datagrams came to another than theirs, %llu messages between them were lost\n",
                  w.value("count", 1), w.value("strays", 0ull), w.value("lost_between", 0ull));
    print_service(r);
    if (r.contains("https"))
      std::printf("https      port %d: %d links, %llu admitted, %llu strangers saw the page\n", r["https"].value("port", 0),
                  r["https"].value("links", 0), r["https"].value("admitted", 0ull), r["https"].value("pages", 0ull));
  }
  std::string refused;
  const json drops = s.value("drops", json::object());  // outlives items()
  for (const auto& [reason, count] : drops.items())
    refused += (refused.empty() ? "" : ", ") + std::to_string(count.get<uint64_t>()) + " " + reason;
  if (!refused.empty()) std::printf("refused    %s\n", refused.c_str());
}

int no_daemon(const Home& home, const NoDaemon& e, bool as_json) {
  if (e.why != NoDaemon::Why::not_running) return complain(e.error, kFailed);
  json s{{"state", "off"}, {"cause", has_network(home) ? "no daemon is running" : kNoNetworkYet}};
  add_kill_switch(s, home.paths);
  if (as_json) {
    print_json(s);
  } else {
    std::printf("%s\n", words_for(s["state"], s["cause"]).c_str());
    print_kill_switch(s);
  }
  return has_network(home) ? kNoDaemon : kNoNetwork;
}

Result<int> status(const Program& program, bool as_json) {
  TRY(const Home home, open_home(program));
  give_back_names_after_restart(home.paths);
  auto client = reach_daemon(home.paths.control_socket());
  if (!client) return no_daemon(home, client.error(), as_json);
  TRY(json s, client->call("status"));
  add_kill_switch(s, home.paths);
  try {
    as_json ? print_json(s) : print_status(s);
  } catch (const json::exception&) {
    return fail(
        "the daemon answered in a way that this release does not understand; restart it after an update");
  }
  return kDone;
}

Result<int> hop(const Program& program, const std::string& group, bool as_json) {
  TRY(const Home home, open_home(program));
  auto client = reach_daemon(home.paths.control_socket());
  if (!client)
    return complain(client.error().error,
                    client.error().why == NoDaemon::Why::not_running ? kNoDaemon : kFailed);
  TRY(const json answer, client->call("hop", group.empty() ? json::object() : json{{"group", group}}));
  if (as_json) {
    print_json(answer);
  } else {
    std::printf("Moving to other relays; open connections live on.\n");
  }
  return kDone;
}

}  // namespace

void add_status(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("status", "are you protected, and through which relays");
  cmd->footer(
      "Status: 0 a daemon answered, 3 none is running, 4 no network yet.  The fields of --json are in "
      "control.schema.json.");
  auto json_flag = std::make_shared<bool>(false);
  cmd->add_flag("--json", *json_flag, "for programs");
  cmd->callback([&program, json_flag] {
    program.action = [&program, json_flag] { return status(program, *json_flag); };
  });
}

void add_hop(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("hop", "move to other relays; open connections live on");
  cmd->footer(
      "The exit stays the same, so that your connections do.  The first relay stays too: changing it often "
      "is unsafe.");
  auto group = std::make_shared<std::string>();
  auto json_flag = std::make_shared<bool>(false);
  cmd->add_option("--group", *group, "only this group of programs");
  cmd->add_flag("--json", *json_flag, "for programs");
  cmd->callback([&program, group, json_flag] {
    program.action = [&program, group, json_flag] { return hop(program, *group, *json_flag); };
  });
}

}  // namespace macrovpn::app
