#include <algorithm>
#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/node_options.h"
#include "app/operator_flags.h"
#include "app/passphrase_prompt.h"
#include "core/discovery/details.h"
#include "shell/clock.h"
#include "shell/config/atomic_file.h"

namespace macrovpn::app {
namespace {

constexpr const char* kExitRisk =
    "An exit opens connections for strangers: sites and your provider see your address as their source, and "
    "you will get\n"
    "the complaints.  It never connects to your own network, to private addresses or to port 25.";

struct RelayOptions {
  NodeFlags node;
  OperatorFlags limits;
  std::vector<std::string> listen, endpoints, https;
  std::string https_name, region, bandwidth, family_key, exit_kind;
  uint32_t as_number = 0;
  bool exit = false, accept_risk = false, open_port = false, at_home = false;
};

Result<void> read_endpoints(const std::vector<std::string>& texts, const char* flag,
                            std::vector<Endpoint>& out) {
  if (!texts.empty()) out.clear();
  for (const std::string& t : texts) {
    const auto e = Endpoint::parse(t);
    if (!e) return fail(std::string(flag) + " must be like 203.0.113.5:51820 or [2001:db8::5]:51820");
    out.push_back(*e);
  }
  return {};
}

Result<void> read_claims(const RelayOptions& f, shell::Settings& s) {
  if (!f.region.empty()) {
    const auto region = shell::parse_region(f.region);
    if (!region) return fail("--region must be a country code like NO");
    s.region = *region;
  }
  if (!f.bandwidth.empty()) {
    const auto bandwidth = shell::parse_bandwidth(f.bandwidth);
    if (!bandwidth) return fail("--bandwidth must be like \"100 Mbit/s\" or \"12 MB/s\"");
    s.bandwidth = *bandwidth;
  }
  if (!f.https_name.empty() && !discovery::is_server_name(f.https_name))
    return fail("--https-name must be a host name like www.example.org, of at most 63 small letters, digits, dots and dashes");
  if (!f.https_name.empty()) s.https_name = f.https_name;
  if (f.as_number != 0) s.as_number = f.as_number;
  if (!f.family_key.empty()) s.family_key_file = f.family_key;
  return {};
}

Result<void> read_exit_kind(const std::string& text, shell::Settings& s) {
  if (text == "auto")
    s.exit_kind = shell::ExitKind::automatic;
  else if (text == "rootless")
    s.exit_kind = shell::ExitKind::rootless;
  else if (text == "kernel")
    s.exit_kind = shell::ExitKind::kernel;
  else if (!text.empty())
    return fail("--exit-kind must be auto, rootless or kernel");
  return {};
}

// Where others reach us: what was said, else the listening addresses that say it themselves.
Result<std::vector<Endpoint>> public_endpoints(const shell::Settings& s) {
  std::vector<Endpoint> out = s.endpoints;
  for (const Endpoint& e : s.listen) {
    if (s.endpoints.empty() && !e.address.is_unspecified()) out.push_back(e);
  }
  if (s.at_home) {
    if (!s.endpoints.empty()) return fail("--at-home finds out where others reach this relay; leave --endpoint out");
    return std::vector<Endpoint>{};
  }
  if (out.empty()) return fail("say where others reach this relay: --endpoint ADDRESS:PORT, or --at-home if it stands behind a home router");
  if (out.size() > kMaxRelayEndpoints)
    return fail("a relay has at most four endpoints; give fewer with --endpoint");
  return out;
}

Result<std::optional<discovery::FamilyProof>> family_proof(const std::string& file, const DaemonOptions& o) {
  if (file.empty()) return std::optional<discovery::FamilyProof>();
  if (!shell::file_exists(file)) {
    shell::OsRng rng;
    TRY_VOID(shell::store_new_signing_key(file, crypto::ed25519_generate(rng)));
    std::fprintf(stderr, "macrovpn: made a family key; copy %s to all your relays\n", file.c_str());
  }
  TRY(const crypto::SigningKey key, shell::load_signing_key(file));
  return std::optional(discovery::sign_family(key, discovery::peer_id_of(o.keys.identity.pub), o.network.id));
}

// Asked once, remembered then.
Result<bool> has_consent(const Home& home, bool accepted_by_flag) {
  if (home.settings.exit_risk_accepted) return true;
  if (!accepted_by_flag) {
    const auto answer = ask_yes_or_no(std::string(kExitRisk) + "\nBe an exit?");
    if (!answer)
      return fail("an exit needs your consent: read `macrovpn relay --help`, then add --accept-exit-risk");
    if (!*answer) return false;
  }
  TRY_VOID(shell::set_setting(home.paths.overlay_file(), "relay.exit_risk_accepted", "true"));
  return true;
}

ExitRole exit_role(const shell::Settings& s) {
  if (!s.exit) return ExitRole::none;
  switch (s.exit_kind) {
    case shell::ExitKind::rootless:
      return ExitRole::rootless;
    case shell::ExitKind::kernel:
      return ExitRole::kernel;
    case shell::ExitKind::automatic:
      break;
  }
  return ExitRole::automatic;
}

Result<DaemonOptions> relay_options(const Home& home, const NodeFlags& flags) {
  const shell::Settings& s = home.settings;
  TRY(DaemonOptions o, node_options(home, flags));
  o.roles.relay = Roles::Relay::on;
  o.roles.exit = exit_role(s);
  o.listen = s.listen;
  TRY(o.public_endpoints, public_endpoints(s));
  o.claims = {s.region, s.bandwidth, s.as_number, {}};
  TRY(o.claims.family, family_proof(s.family_key_file, o));
  return o;
}

Result<int> run(const Program& program, const RelayOptions& f) {
  TRY(Home home, open_home_with(program, f.node));
  if (!has_network(home)) return complain({kNoNetworkYet}, kNoNetwork);
  shell::Settings& s = home.settings;
  TRY_VOID(read_endpoints(f.listen, "--listen", s.listen));
  TRY_VOID(read_endpoints(f.endpoints, "--endpoint", s.endpoints));
  TRY_VOID(read_endpoints(f.https, "--https", s.https_listen));
  TRY_VOID(read_claims(f, s));
  TRY_VOID(read_exit_kind(f.exit_kind, s));
  TRY_VOID(apply(f.limits, s));
  s.exit = s.exit || f.exit;
  s.open_port = s.open_port || f.open_port;
  // Without an endpoint, what the router opens is found out, and used if it is open.
  const bool says_where = !s.endpoints.empty() || std::any_of(s.listen.begin(), s.listen.end(), [](const Endpoint& e) { return !e.address.is_unspecified(); });
  s.at_home = s.at_home || f.at_home || (s.open_port && !says_where);
  if (s.at_home && s.workers > 1) return fail("a relay at home has one worker; leave --workers out");
  TRY(const DaemonOptions options, relay_options(home, f.node));
  if (s.exit) {
    const auto consent = has_consent(home, f.accept_risk);
    if (!consent) return complain(consent.error(), kNoConsent);
    if (!*consent) return complain({"then this relay is no exit: start it without --exit"}, kNoConsent);
  }
  return run_daemon(options);
}

}  // namespace

void add_relay(CLI::App& app, Program& program) {
  auto* cmd =
      app.add_subcommand("relay", "carry other people's traffic; no root needed, no exit unless you say so");
  cmd->footer(std::string("A relay passes encrypted packets on to other relays only.  With --exit it also "
                          "opens connections to sites.\n") +
              kExitRisk +
              "\nExamples:\n  macrovpn relay --endpoint 203.0.113.5:51820 --bandwidth \"100 Mbit/s\"\n"
              "  macrovpn relay --endpoint 203.0.113.5:51820 --exit\n"
              "  macrovpn relay --endpoint 203.0.113.5:51820 --rate \"20 Mbit/s\" --month \"500 GB\" --hours 22:00-07:00");
  auto f = std::make_shared<RelayOptions>();
  add_node_flags(*cmd, f->node);
  cmd->add_option("--listen", f->listen, "UDP address to listen on")->type_name("ADDRESS:PORT");
  cmd->add_option("--endpoint", f->endpoints, "where others reach this relay, published")
      ->type_name("ADDRESS:PORT");
  cmd->add_option("--https", f->https, "TCP address for clients whose UDP is blocked, published; strangers see a web page there")
      ->type_name("ADDRESS:443");
  cmd->add_option("--https-name", f->https_name, "host name in its certificate; by itself one that is drawn")->type_name("NAME");
  cmd->add_flag("--open-port", f->open_port, "ask the router to open the port (PCP, NAT-PMP, UPnP), for a relay at home; without --endpoint it is published once others came through");
  cmd->add_flag("--at-home", f->at_home, "it stands behind a home router: find out how others reach it, through other relays if need be");
  cmd->add_option("--region", f->region, "its country, published")->type_name("CC");
  cmd->add_option("--bandwidth", f->bandwidth, "what it offers, published")->type_name("RATE");
  cmd->add_option("--as", f->as_number, "its AS number, published");
  cmd->add_option("--family-key", f->family_key,
                  "key that all your relays share, so that no circuit uses two of them")
      ->type_name("FILE");
  cmd->add_flag("--exit", f->exit, "be an exit; asks once");
  cmd->add_flag("--accept-exit-risk", f->accept_risk, "you have read what being an exit means");
  cmd->add_option("--exit-kind", f->exit_kind, "auto, rootless or kernel")->type_name("KIND");
  add_operator_flags(*cmd, f->limits);
  add_notice(*cmd, program);
  cmd->callback([&program, f, cmd] {
    if (cmd->got_subcommand("notice")) return;
    program.action = [&program, f] { return run(program, *f); };
  });
}

}  // namespace macrovpn::app
