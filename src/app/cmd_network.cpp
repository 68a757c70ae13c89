#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "app/newcomers.h"
#include "app/start_daemon.h"
#include "shell/clock.h"
#include "shell/config/atomic_file.h"
#include "shell/config/invite.h"
#include "shell/config/key_store.h"
#include "shell/config/network_file.h"
#include "shell/control/client.h"
#include "shell/phone/qr_code.h"

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
  n.signed_at = wall_from_unix(unix_seconds(shell::read_clocks().wall));
  for (const std::string& s : o.seeds) {
    TRY(const Seed seed, read_seed(s));
    n.seeds.push_back(seed);
  }
  for (const std::string& s : o.extra_global) {
    const auto p = IpPrefix::parse(s);
    if (!p) return fail("--extra-global must be a range like 192.0.2.0/24");
    n.extra_global.push_back(*p);
  }
  return n;
}

std::string date_of(Wall t) {
  const time_t seconds = static_cast<time_t>(unix_seconds(t));
  tm utc{};
  char text[32];
  gmtime_r(&seconds, &utc);
  strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc);
  return seconds == 0 ? "by an old macrovpn" : text;
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
  std::printf("signed        %s\n", date_of(n.signed_at).c_str());
  for (const Seed& seed : n.seeds) std::printf("seed          %s\n", shell::to_text(seed).c_str());
  for (const IpPrefix& p : n.extra_global) std::printf("also global   %s\n", p.reveal().c_str());
}

template <class T>
std::vector<std::string> texts(const std::vector<T>& items) {
  std::vector<std::string> out;
  for (const T& i : items) out.push_back(i.reveal());
  return out;
}

nlohmann::json json_of(const Network& n) {
  std::vector<std::string> seeds;
  for (const Seed& seed : n.seeds) seeds.push_back(shell::to_text(seed));
  return {{"signed_at", unix_seconds(n.signed_at)},
          {"name", n.name},
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
          {"seeds", seeds},
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

// ---- the owner's

struct SignOptions {
  std::vector<std::string> add, remove;
};

Result<int> sign(const Program& program, const SignOptions& o) {
  TRY(const Home home, open_home(program));
  if (!has_network(home)) return complain({kNoNetworkYet}, kNoNetwork);
  TRY(Network network, open_network(home));
  if (!shell::file_exists(home.paths.network_key_file()))
    return fail("the key of this network is not here; only who made it (`macrovpn network init`) can sign its file");
  TRY(const crypto::SigningKey key, shell::load_signing_key(home.paths.network_key_file()));
  if (key.pub != network.key) return fail("the key in " + home.paths.network_key_file() + " is of another network");
  for (const std::string& text : o.remove) {
    const size_t before = network.seeds.size();
    std::erase_if(network.seeds, [&](const Seed& s) { return to_base64(s.identity.bytes).starts_with(text); });
    if (network.seeds.size() + 1 != before) return fail("--remove-seed takes the beginning of one seed's identity key; see `macrovpn network show`");
  }
  for (const std::string& text : o.add) {
    TRY(const Seed seed, read_seed(text));
    std::erase_if(network.seeds, [&](const Seed& s) { return s.identity == seed.identity; });
    network.seeds.push_back(seed);
  }
  const Wall now = wall_from_unix(unix_seconds(shell::read_clocks().wall));
  network.signed_at = std::max(now, network.signed_at + std::chrono::seconds(1));
  TRY_VOID(shell::write_file(home.network_file(), as_bytes(shell::sign_network_file(network, key)), shell::FileMode::readable));
  std::printf("Signed the network \"%s\" anew, with %zu seeds.  Who has the older file may replace it by `macrovpn network add %s`; a node that runs "
              "takes it when it starts again.\n",
              network.name.c_str(), network.seeds.size(), home.network_file().c_str());
  return kDone;
}

Result<int> print_seed(const Program& program, const std::vector<std::string>& endpoints) {
  TRY(const Home home, open_home(program));
  shell::OsRng rng;
  TRY(const shell::Keys keys, shell::load_or_create_keys(home.paths.key_file(), rng, shell::read_clocks().wall));
  Seed seed{keys.identity.pub, keys.wireguard.pub, {}};
  for (const std::string& text : endpoints) {
    const auto e = Endpoint::parse(text);
    if (!e) return fail("an endpoint is like 203.0.113.5:51820 or [2001:db8::5]:51820");
    seed.endpoints.push_back(*e);
  }
  if (seed.endpoints.size() > kMaxRelayEndpoints) return fail("a relay has at most 4 endpoints");
  std::printf("%s\n", shell::to_text(seed).c_str());
  return kDone;
}

// ---- joining

struct Joining {
  Network network;
  std::string text;  // of the network file
  std::vector<Seed> relays;
};

Result<Joining> read_joining(const std::string& file_or_link) {
  if (shell::looks_like_invite(file_or_link)) {
    TRY(shell::Invite invite, shell::parse_invite(file_or_link));
    return Joining{invite.network, shell::network_file_of(invite.network, invite.signature), std::move(invite.relays)};
  }
  TRY(const auto bytes, shell::read_file(file_or_link, kMaxNetworkFile));
  const std::string text(bytes.begin(), bytes.end());
  if (shell::looks_like_invite(text)) return read_joining(text);
  TRY(Network network, shell::parse_network_file(text, file_or_link));
  return Joining{std::move(network), text, {}};
}

// Whether the file that came takes the place of the one that is there.
bool replaces(const Network& old, const Network& fresh) {
  if (fresh.signed_at != old.signed_at) return fresh.signed_at > old.signed_at;
  return old.seeds.empty() || !fresh.seeds.empty();
}

Result<int> join(const Program& program, const std::string& file_or_link) {
  TRY(const Home home, open_home(program));
  TRY(const Joining j, read_joining(file_or_link));
  const auto old = has_network(home) ? shell::read_network_file(home.network_file()) : Result<Network>(fail(""));
  if (old && old->id != j.network.id) {
    return fail("you are in the network \"" + old->name +
                "\" already, and networks never mix; use --state DIR for another one");
  }
  // Before the network: who is in it can begin.
  if (!j.relays.empty()) TRY_VOID(store_invited(home.paths, j.relays));
  if (old && !replaces(*old, j.network)) {
    std::printf("You are in the network \"%s\" already, with rules that are newer (%s).%s\n", old->name.c_str(), date_of(old->signed_at).c_str(),
                j.relays.empty() ? "" : "  The relays of the invite were noted.");
    return kDone;
  }
  TRY_VOID(shell::write_file(home.network_file(), as_bytes(j.text), shell::FileMode::readable));
  std::printf("Joined the network \"%s\"%s.\n", j.network.name.c_str(), j.network.is_lab() ? ", a lab" : "");
  return kDone;
}

// After a refusal: the user's word.
Result<int> accept(const Program& program) {
  TRY(const Home home, open_home(program));
  auto client = reach_daemon(home.paths.control_socket());
  if (!client)
    return complain(client.error().error, client.error().why == shell::control::NoDaemon::Why::not_running ? kNoDaemon : kFailed);
  TRY(const nlohmann::json answer, client->call("directory.accept"));
  std::printf("The directory is used as it was found: %d relays.\n", answer.value("relays", 0));
  return kDone;
}

struct InviteOptions {
  int relays = static_cast<int>(shell::kInviteRelays);
  bool qr = false;
};

Result<int> invite(const Program& program, const InviteOptions& o) {
  TRY(const Home home, open_home(program));
  if (!has_network(home)) return complain({kNoNetworkYet}, kNoNetwork);
  TRY(const Network network, open_network(home));
  TRY(const auto bytes, shell::read_own_file(home.network_file(), kMaxNetworkFile));
  const auto signature = shell::signature_without_seeds({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!signature)
    return fail("this network's file was signed by an older macrovpn, and no link can be made of it; its owner can sign it anew with `macrovpn "
                "network sign`");
  shell::OsRng rng;
  const auto relays = good_start(home, network, static_cast<size_t>(o.relays), shell::read_clocks().wall, rng);
  TRY(const std::string link, shell::to_link({network, *signature, relays}));
  if (relays.empty()) {
    std::fprintf(stderr, "macrovpn: no relay of this network is known here, so the link names none; who joins by it needs seeds or descriptors, "
                         "too\n");
  }
  if (o.qr) {
    TRY(const auto code, shell::QrCode::of(link));
    const bool colours = isatty(STDOUT_FILENO) != 0;
    std::printf("%s\n", code.half_blocks(colours ? shell::QrCode::Colours::terminal : shell::QrCode::Colours::none).c_str());
  }
  std::printf("%s\n", link.c_str());
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

void add_owner(CLI::App& cmd, Program& program) {
  auto o = std::make_shared<SignOptions>();
  auto endpoints = std::make_shared<std::vector<std::string>>();
  auto* again = cmd.add_subcommand("sign", "the owner's: sign the network file anew, with other seeds");
  again->add_option("--add-seed", o->add, "a relay where newcomers start; in place of one with the same identity")->type_name("SEED");
  again->add_option("--remove-seed", o->remove, "the beginning of a seed's identity key")->type_name("KEY");
  again->callback([&program, o] { program.action = [&program, o] { return sign(program, *o); }; });

  auto* seed = cmd.add_subcommand("seed", "on a relay: its keys and endpoints as a line for `init --seed` and `sign --add-seed`");
  seed->add_option("--endpoint", *endpoints, "where others reach it")->required()->type_name("ADDRESS:PORT");
  seed->callback([&program, endpoints] { program.action = [&program, endpoints] { return print_seed(program, *endpoints); }; });
}

void add_joining(CLI::App& cmd, Program& program) {
  auto what = std::make_shared<std::string>();
  auto o = std::make_shared<InviteOptions>();
  auto* way_in = cmd.add_subcommand("join", "join a network by its invite link or its file")->alias("add");
  way_in->add_option("LINK", *what, "macrovpn:..., or a file with that, or the network file")->required();
  way_in->callback([&program, what] { program.action = [&program, what] { return join(program, *what); }; });

  auto* yes = cmd.add_subcommand("accept", "use a directory that was refused, because it shrank or its sources disagree");
  yes->callback([&program] { program.action = [&program] { return accept(program); }; });

  auto* link = cmd.add_subcommand("invite", "a link by which others join this network");
  link->add_option("--relays", o->relays, "how many relays it names, for a start")->check(CLI::Range(0, 3))->capture_default_str();
  link->add_flag("--qr", o->qr, "also as a QR code");
  link->callback([&program, o] { program.action = [&program, o] { return invite(program, *o); }; });
}

}  // namespace

void add_network(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("network", "make or join a network, and show its rules");
  cmd->footer(
      "Examples:\n  macrovpn network init --name \"our lab\" --lab\n  macrovpn network sign --add-seed relay.descriptor\n  "
      "macrovpn network invite --qr\n  macrovpn network join macrovpn:...\n  macrovpn network show --json");
  cmd->require_subcommand(1);
  auto o = std::make_shared<InitOptions>();
  auto json = std::make_shared<bool>(false);

  auto* make =
      cmd->add_subcommand("init", "make a network: a signed file with the rules that all its nodes share");
  make->add_option("--name", o->name, "what people call it")->capture_default_str();
  make->add_flag("--lab", o->lab, "small values, and the documentation addresses count as global");
  make->add_option("--seed", o->seeds, "relays where newcomers start: what `macrovpn network seed` prints there, or a file")->type_name("SEED");
  make->add_option("--extra-global", o->extra_global, "ranges that count as global")->type_name("PREFIX");
  make->callback([&program, o] { program.action = [&program, o] { return init(program, *o); }; });

  add_owner(*cmd, program);
  add_joining(*cmd, program);

  auto* print = cmd->add_subcommand("show", "the rules of your network");
  print->add_flag("--json", *json, "for programs");
  print->callback(
      [&program, json] { program.action = [&program, json] { return show_network(program, *json); }; });
}

}  // namespace macrovpn::app
