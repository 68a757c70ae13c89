#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "shell/clock.h"
#include "shell/config/atomic_file.h"
#include "shell/config/key_store.h"
#include "shell/config/network_file.h"

namespace macrovpn::app {
namespace {

constexpr size_t kMaxNetworkFile = 64 * 1024;

struct InitOptions {
  std::string name = "my network";
  bool lab = false;
  std::vector<std::string> seeds, extra_global;
};

Network lab_network() {
  Network n;
  n.pow_bits = 0;
  n.max_per_v4_24 = n.max_per_v4_16 = n.max_per_v6_48 = n.max_per_v6_32 = 1000;
  n.diversity_v4 = 32;
  n.diversity_v6 = 128;
  n.guard_age = Duration::zero();
  for (const char* range : {"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"})
    n.extra_global.push_back(*IpPrefix::parse(range));
  return n;
}

Result<Network> network_from(const InitOptions& o) {
  Network n = o.lab ? lab_network() : Network{};
  if (!o.lab) n.pow_bits = 11;
  if (o.name.empty() || o.name.size() > 64) return fail("the network's name must have 1 to 64 characters");
  n.name = o.name;
  for (const std::string& s : o.seeds) {
    const auto e = Endpoint::parse(s);
    if (!e) return fail("--seed must be like 203.0.113.5:51820 or [2001:db8::5]:51820");
    n.seeds.push_back(*e);
  }
  for (const std::string& s : o.extra_global) {
    const auto p = IpPrefix::parse(s);
    if (!p) return fail("--extra-global must be a range like 192.0.2.0/24");
    n.extra_global.push_back(*p);
  }
  return n;
}

void show(const Network& n) {
  std::printf("network       %s%s\n", n.name.c_str(),
              n.is_lab() ? "  (a lab: small values, not for real use)" : "");
  std::printf("id            %s\n", to_hex(n.id.bytes).c_str());
  std::printf("key           %s\n", to_base64(n.key.bytes).c_str());
  std::printf("proof of work %u bits\n", n.pow_bits);
  std::printf("per prefix    %u in a v4 /24, %u in a /16; %u in a v6 /48, %u in a /32\n", n.max_per_v4_24,
              n.max_per_v4_16, n.max_per_v6_48, n.max_per_v6_32);
  std::printf("diversity     hops differ in their v4 /%u and v6 /%u\n", n.diversity_v4, n.diversity_v6);
  std::printf("guards        after %lld hours\n",
              static_cast<long long>(std::chrono::duration_cast<std::chrono::hours>(n.guard_age).count()));
  for (const Endpoint& e : n.seeds) std::printf("seed          %s\n", e.reveal().c_str());
  for (const IpPrefix& p : n.extra_global) std::printf("also global   %s\n", p.reveal().c_str());
}

template <class T>
std::vector<std::string> texts(const std::vector<T>& items) {
  std::vector<std::string> out;
  for (const T& i : items) out.push_back(i.reveal());
  return out;
}

nlohmann::json json_of(const Network& n) {
  return {{"name", n.name},
          {"lab", n.is_lab()},
          {"id", to_hex(n.id.bytes)},
          {"key", to_base64(n.key.bytes)},
          {"pow_bits", n.pow_bits},
          {"max_per_v4_24", n.max_per_v4_24},
          {"max_per_v4_16", n.max_per_v4_16},
          {"max_per_v6_48", n.max_per_v6_48},
          {"max_per_v6_32", n.max_per_v6_32},
          {"diversity_v4", n.diversity_v4},
          {"diversity_v6", n.diversity_v6},
          {"guard_age_seconds", std::chrono::duration_cast<std::chrono::seconds>(n.guard_age).count()},
          {"seeds", texts(n.seeds)},
          {"extra_global", texts(n.extra_global)}};
}

Result<int> init(const Program& program, const InitOptions& o) {
  TRY(const Home home, open_home(program));
  if (has_network(home))
    return fail("there is a network already in " + home.network_file() +
                "; move that file away first if you mean it");
  TRY(const Network network, network_from(o));
  shell::OsRng rng;
  // A key without its file: an earlier attempt ended in between.
  const bool begun = shell::file_exists(home.paths.network_key_file());
  TRY(const crypto::SigningKey key, begun ? shell::load_signing_key(home.paths.network_key_file())
                                          : Result<crypto::SigningKey>(crypto::ed25519_generate(rng)));
  if (!begun) TRY_VOID(shell::store_new_signing_key(home.paths.network_key_file(), key));
  const std::string text = shell::sign_network_file(network, key);
  TRY_VOID(shell::write_file(home.network_file(), as_bytes(text), shell::FileMode::readable));
  std::printf(
      "Made the network \"%s\".\nGive this file to everybody who joins: %s\nKeep this key to yourself:       "
      "      %s\n",
      network.name.c_str(), home.network_file().c_str(), home.paths.network_key_file().c_str());
  return kDone;
}

Result<int> add(const Program& program, const std::string& file) {
  TRY(const Home home, open_home(program));
  TRY(const auto bytes, shell::read_file(file, kMaxNetworkFile));
  TRY(const Network network,
      shell::parse_network_file({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file));
  if (const auto old =
          has_network(home) ? shell::read_network_file(home.network_file()) : Result<Network>(fail(""));
      old && old->id != network.id) {
    return fail("you are in the network \"" + old->name +
                "\" already, and networks never mix; use --state DIR for another one");
  }
  TRY_VOID(shell::write_file(home.network_file(), bytes, shell::FileMode::readable));
  std::printf("Joined the network \"%s\"%s.\n", network.name.c_str(), network.is_lab() ? ", a lab" : "");
  return kDone;
}

Result<int> show_network(const Program& program, bool json) {
  TRY(const Home home, open_home(program));
  if (!has_network(home)) return complain({kNoNetworkYet}, kNoNetwork);
  TRY(const Network n, open_network(home));
  if (json) {
    print_json(json_of(n));
  } else {
    show(n);
  }
  return kDone;
}

}  // namespace

void add_network(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("network", "make or join a network, and show its rules");
  cmd->footer(
      "Examples:\n  macrovpn network init --name \"our lab\" --lab\n  macrovpn network add network.toml\n  "
      "macrovpn network show --json");
  cmd->require_subcommand(1);
  auto o = std::make_shared<InitOptions>();
  auto file = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);

  auto* make =
      cmd->add_subcommand("init", "make a network: a signed file with the rules that all its nodes share");
  make->add_option("--name", o->name, "what people call it")->capture_default_str();
  make->add_flag("--lab", o->lab, "small values, and the documentation addresses count as global");
  make->add_option("--seed", o->seeds, "relays where newcomers start")->type_name("ADDRESS:PORT");
  make->add_option("--extra-global", o->extra_global, "ranges that count as global")->type_name("PREFIX");
  make->callback([&program, o] { program.action = [&program, o] { return init(program, *o); }; });

  auto* join = cmd->add_subcommand("add", "join a network by its file");
  join->add_option("FILE", *file)->required();
  join->callback([&program, file] { program.action = [&program, file] { return add(program, *file); }; });

  auto* print = cmd->add_subcommand("show", "the rules of your network");
  print->add_flag("--json", *json, "for programs");
  print->callback(
      [&program, json] { program.action = [&program, json] { return show_network(program, *json); }; });
}

}  // namespace macrovpn::app
