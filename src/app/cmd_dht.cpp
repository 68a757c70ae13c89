// `macrovpn dht`: small signed records that relays keep for those who know the owner's key.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "app/start_daemon.h"
#include "app/tunnel.h"
#include "core/node/records.h"
#include "shell/clock.h"
#include "shell/config/atomic_file.h"
#include "shell/config/key_store.h"
#include "shell/config/quantities.h"
#include "shell/control/client.h"

namespace macrovpn::app {
namespace {

using nlohmann::json;
using shell::control::Client;
using shell::control::NoDaemon;

constexpr const char* kDefaultName = "default";
constexpr const char* kMyself = "me";
constexpr useconds_t kLookEvery = 50'000;

struct DhtFlags {
  std::string owner, name = kDefaultName, value, key_file, life = "24 h";
  uint8_t service = static_cast<uint8_t>(discovery::DhtService::notes);
  bool as_json = false;
};

// ---- keys

Result<std::string> key_file_of(const Home& home, const DhtFlags& f) {
  if (f.key_file.empty()) return home.paths.record_key_file();
  std::error_code error;
  const auto absolute = std::filesystem::absolute(f.key_file, error);
  if (error) return fail("--key-file " + f.key_file + ": " + error.message());
  return absolute.string();
}

// Made on first use; of two commands that do so at once both get the same.
Result<crypto::SigningKey> owner_key(const std::string& file) {
  if (!shell::file_exists(file)) {
    shell::OsRng rng;
    const auto made = shell::store_new_signing_key(file, crypto::ed25519_generate(rng));
    if (!made.ok() && !shell::file_exists(file)) return Failure{made.error()};
  }
  return shell::load_signing_key(file);
}

Result<int> show_owner(const Program& program, const DhtFlags& f) {
  TRY(const Home home, open_home(program));
  TRY(const std::string file, key_file_of(home, f));
  TRY(const crypto::SigningKey key, owner_key(file));
  const std::string owner = to_hex(key.pub.bytes);
  if (f.as_json) {
    print_json({{"owner", owner}, {"file", file}});
  } else {
    std::printf("%s\n", owner.c_str());
  }
  return kDone;
}

// ---- asking the daemon

// Not connected, and what to do: the exit status.
int no_daemon(const NoDaemon& e) {
  if (e.why != NoDaemon::Why::not_running) return complain(e.error, kFailed);
  const char* what = computer_is_up() && geteuid() != 0
                         ? "this computer is behind `macrovpn up`, and records go through root's daemon there: use `sudo macrovpn dht`"
                         : "not connected: no daemon is running; start one with `macrovpn daemon`, or `sudo macrovpn up`";
  return complain({what}, kNoDaemon);
}

// One line that is written over, on a terminal alone.
class ProgressLine {
 public:
  void show(const std::string& text) {
    if (!isatty(2) || text == shown_) return;
    std::fprintf(stderr, "\r%-*s", static_cast<int>(shown_.size()), text.c_str());
    std::fflush(stderr);
    shown_ = text;
  }
  ~ProgressLine() {
    if (!shown_.empty()) std::fprintf(stderr, "\r%*s\r", static_cast<int>(shown_.size()), "");
  }

 private:
  std::string shown_;
};

Result<json> wait_for(Client& daemon, const json& begun, const char* doing) {
  const json params{{"ticket", begun.at("ticket")}};
  ProgressLine line;
  while (true) {
    TRY(json now, daemon.call("dht.look", params));
    const std::string phase = now.at("phase");
    if (phase == "ended") return now;
    line.show(phase == "waiting" ? "Waiting for a circuit ..."
                                 : std::string(doing) + ": " + std::to_string(now.at("answered").get<size_t>()) + " of " +
                                       std::to_string(now.at("asked").get<size_t>()) + " relays have answered");
    usleep(kLookEvery);
  }
}

// Why there is nothing; empty: there is something.
std::string trouble_of(const json& ended, const DhtFlags& f) {
  const std::string outcome = ended.at("outcome"), asked = std::to_string(ended.at("asked").get<size_t>()),
                    answered = std::to_string(ended.at("answered").get<size_t>());
  if (outcome == "no_relays") return "no relay is known yet; try again when `macrovpn status` shows some";
  if (outcome == "no_circuit") return "not connected: there was no circuit to ask relays through; `macrovpn status` says more";
  if (outcome == "nobody") {
    return asked == "0" ? "no relay could be asked: all that are to keep it are in the circuit that it would be asked through, and the network is too small"
                        : "none of the " + asked + " relays that are to keep it answered; try again in a while";
  }
  if (outcome == "none") return "no relay keeps a record \"" + f.name + "\" of that owner (" + answered + " of " + asked + " relays answered)";
  if (outcome != "refused") return {};
  if (ended.at("newer").get<size_t>() > 0)
    return "not stored: relays have a newer record of that name; another computer put it, or this one's clock is behind";
  return "not stored: " + answered + " relays answered, and none took it; they are full, or this computer's clock is wrong";
}

Result<json> begin(Client& daemon, const std::string& method, const json& params) {
  try {
    return daemon.call(method, params);
  } catch (const json::exception&) {
    return fail("a record's name is UTF-8 text");
  }
}

// ---- put

Result<std::string> value_of(const DhtFlags& f) {
  if (f.value != "-") return f.value;
  std::string out;
  char part[4096];
  for (size_t n = 0; (n = std::fread(part, 1, sizeof part, stdin)) > 0 && out.size() <= shell::control::kMaxLine;) out.append(part, n);
  return out;
}

Result<int> put(const Program& program, const DhtFlags& f) {
  const auto life = shell::parse_duration(f.life);
  if (!life || *life > discovery::kMaxDhtLife) return complain({"--ttl takes a time like \"90 s\", \"30 min\" or \"12 h\", 24 hours at most"}, kUsage);
  if (f.name.empty() || f.name.size() > node::kMaxRecordName)
    return complain({"--name takes 1 to " + std::to_string(node::kMaxRecordName) + " bytes"}, kUsage);
  TRY(const std::string value, value_of(f));
  if (value.size() > discovery::kMaxDhtValue) {
    const std::string size = value.size() > shell::control::kMaxLine ? "more than " + std::to_string(shell::control::kMaxLine) : std::to_string(value.size());
    return complain({"too long: " + std::to_string(discovery::kMaxDhtValue) + " bytes at most, this has " + size}, kUsage);
  }
  TRY(const Home home, open_home(program));
  if (!has_network(home)) return complain({kNoNetworkYet}, kNoNetwork);
  TRY(const std::string key_file, key_file_of(home, f));
  auto daemon = reach_daemon(home.paths.control_socket());
  if (!daemon) return no_daemon(daemon.error());
  TRY_VOID(owner_key(key_file));
  TRY(const json begun, begin(*daemon, "dht.put", {{"service", f.service}, {"name", f.name}, {"value", to_base64(as_bytes(value))},
                                                   {"key_file", key_file}, {"life_seconds", *life / std::chrono::seconds(1)}}));
  TRY(const json ended, wait_for(*daemon, begun, "Storing"));
  if (const std::string trouble = trouble_of(ended, f); !trouble.empty()) return complain({trouble}, kFailed);
  const std::string owner = begun.at("owner");
  if (f.as_json) {
    json out = ended;
    out.erase("phase");
    out.update({{"owner", owner}, {"service", f.service}, {"name", f.name}});
    print_json(out);
  } else {
    const std::string name = f.name == kDefaultName ? "" : " " + f.name;
    std::printf("%zu relays keep it now.  Whoever knows your key reads it:\n  macrovpn dht get %s%s\n", ended.at("holders").get<size_t>(), owner.c_str(), name.c_str());
  }
  if (!ended.at("enough").get<bool>())
    std::fprintf(stderr, "macrovpn: only %zu of %zu relays took it, so it may not be found; the daemon tries the others again while it runs\n",
                 ended.at("holders").get<size_t>(), ended.at("asked").get<size_t>());
  return kDone;
}

// ---- get

Result<std::string> owner_of(const Home& home, const DhtFlags& f) {
  if (f.owner == kMyself) {
    TRY(const std::string file, key_file_of(home, f));
    TRY(const crypto::SigningKey key, owner_key(file));
    return to_hex(key.pub.bytes);
  }
  const auto bytes = from_hex(f.owner);
  if (!bytes || bytes->size() != 32) return fail("'" + f.owner + "' is no owner: write the 64 hexadecimal digits that `macrovpn dht owner` shows there, or \"me\"");
  return to_hex(*bytes);
}

bool is_utf8(const std::string& s) {
  try {
    return !json(s).dump().empty();
  } catch (const json::exception&) {
    return false;
  }
}

// Anybody may have written it: no control character reaches the screen, and what is no text is shown in hexadecimal.
std::string for_eyes(const std::string& value) {
  if (!is_utf8(value)) return to_hex(as_bytes(value));
  std::string out;
  for (size_t i = 0; i < value.size(); i++) {
    const auto c = static_cast<unsigned char>(value[i]);
    const auto next = static_cast<unsigned char>(i + 1 < value.size() ? value[i + 1] : 0);
    const bool is_c1 = c == 0xc2 && next < 0xa0;  // U+0080 to U+009F
    if (c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f && !is_c1)) {
      out += value[i];
      continue;
    }
    char escaped[8];
    std::snprintf(escaped, sizeof escaped, "\\x%02x", is_c1 ? next : c);
    out += escaped;
    i += is_c1;
  }
  return out;
}

void print_value(const std::string& value) {
  const std::string text = isatty(1) ? for_eyes(value) + "\n" : value;
  std::fwrite(text.data(), 1, text.size(), stdout);
}

Result<int> get(const Program& program, const DhtFlags& f) {
  if (f.name.empty() || f.name.size() > node::kMaxRecordName)
    return complain({"a record's name has 1 to " + std::to_string(node::kMaxRecordName) + " bytes"}, kUsage);
  TRY(const Home home, open_home(program));
  const auto owner = owner_of(home, f);
  if (!owner) return complain(owner.error(), kUsage);
  if (!has_network(home)) return complain({kNoNetworkYet}, kNoNetwork);
  auto daemon = reach_daemon(home.paths.control_socket());
  if (!daemon) return no_daemon(daemon.error());
  TRY(const json begun, begin(*daemon, "dht.get", {{"service", f.service}, {"owner", *owner}, {"name", f.name}}));
  TRY(const json ended, wait_for(*daemon, begun, "Asking"));
  if (const std::string trouble = trouble_of(ended, f); !trouble.empty()) return complain({trouble}, kFailed);
  const auto bytes = from_base64(ended.at("value").get<std::string>());
  if (!bytes) return fail("the daemon answered in a way that this release does not understand; restart it after an update");
  const std::string value(bytes->begin(), bytes->end());
  if (f.as_json) {
    json out{{"owner", *owner}, {"service", f.service}, {"name", f.name}, {"value_base64", ended["value"]}, {"seq", ended.at("seq")},
             {"expires", ended.at("expires")}, {"asked", ended.at("asked")}, {"answered", ended.at("answered")}};
    if (is_utf8(value)) out["value"] = value;
    print_json(out);
  } else {
    print_value(value);
  }
  return kDone;
}

const std::map<std::string, uint8_t> kServices{{"diagnosis", 0}, {"introducers", 1}, {"measurements", 2}, {"payments", 3}, {"notes", 4}};

void add_service(CLI::App* cmd, DhtFlags& f) {
  cmd->add_option("--service", f.service, "what it is about: notes (which is usual), diagnosis, introducers, measurements, payments, or a number up to 255")
      ->transform(CLI::CheckedTransformer(kServices).description("") | CLI::Range(0, 255));
}

using Command = Result<int> (*)(const Program&, const DhtFlags&);

void on_call(CLI::App* cmd, Program& program, const std::shared_ptr<DhtFlags>& f, Command run) {
  cmd->callback([&program, f, run] {
    program.action = [&program, f, run]() -> Result<int> {
      try {
        return run(program, *f);
      } catch (const json::exception&) {
        return fail("the daemon answered in a way that this release does not understand; restart it after an update");
      }
    };
  });
}

}  // namespace

void add_dht(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("dht", "small signed notes that relays keep for a day, for those who know the owner's key");
  cmd->footer(
      "Relays are asked through a circuit (a node that only relays asks them itself): they learn nothing of who puts or reads.  They can read the\n"
      "value, so encrypt what others must not know.\n"
      "Examples:\n  macrovpn dht put --name door \"it is open\"\n  macrovpn dht get OWNER door        OWNER is what `macrovpn dht owner` shows on the other computer");
  cmd->require_subcommand(1);
  auto f = std::make_shared<DhtFlags>();
  const auto key_option = [&](CLI::App* c) {
    c->add_option("--key-file", f->key_file, "the owner's key, instead of the one in the state folder; made if it is not there")->type_name("FILE");
    c->add_flag("--json", f->as_json, "for programs");
  };

  auto* store = cmd->add_subcommand("put", "have relays keep a value; a later one of the same name takes its place");
  store->add_option("VALUE", f->value, "at most " + std::to_string(discovery::kMaxDhtValue) + " bytes; - for standard input")->required();
  store->add_option("--name", f->name, "which of your records; \"default\" if absent");
  store->add_option("--ttl", f->life, "how long, like \"30 min\" or \"12 h\"; 24 hours at most and if absent");
  add_service(store, *f);
  key_option(store);
  on_call(store, program, f, put);

  auto* read = cmd->add_subcommand("get", "the newest value that relays have; the exact bytes, where the output is no terminal");
  read->add_option("OWNER", f->owner, "the owner's key: 64 hexadecimal digits, or \"me\"")->required();
  read->add_option("NAME", f->name, "which of the owner's records; \"default\" if absent");
  add_service(read, *f);
  key_option(read);
  on_call(read, program, f, get);

  auto* owner = cmd->add_subcommand("owner", "your key as others write it; it is made on first use");
  key_option(owner);
  on_call(owner, program, f, show_owner);
}

}  // namespace macrovpn::app
