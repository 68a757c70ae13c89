// `macrovpn device`: phones and other computers with a stock WireGuard app, that use this node's circuits.
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "app/start_daemon.h"
#include "app/tunnel.h"
#include "crypto/x25519.h"
#include "shell/clock.h"
#include "shell/config/atomic_file.h"
#include "shell/config/quantities.h"
#include "shell/control/client.h"
#include "shell/phone/phone_config.h"
#include "shell/phone/phone_file.h"
#include "shell/phone/qr_code.h"

namespace macrovpn::app {
namespace {

using nlohmann::json;
using shell::QrCode;
using shell::control::NoDaemon;

struct AddFlags {
  std::string name, endpoint, output;
  bool qr = false, as_json = false;
};

// What was made: everything to hand out, and a sentence to go with it.
struct Made {
  std::string config, endpoint, note;
};

Result<shell::control::Client, int> daemon_of(const Home& home) {
  if (!has_network(home)) return Failure<int>{complain({kNoNetworkYet}, kNoNetwork)};
  auto client = reach_daemon(home.paths.control_socket());
  if (client) return std::move(*client);
  if (client.error().why != NoDaemon::Why::not_running) return Failure<int>{complain(client.error().error, kFailed)};
  const char* what = computer_is_up() && geteuid() != 0
                         ? "this computer is behind `macrovpn up`, and devices are root's there: use `sudo macrovpn device`"
                         : "no daemon is running, and devices go through it: start `macrovpn daemon`, or `sudo macrovpn up`";
  return Failure<int>{complain({what}, kNoDaemon)};
}

// A file that is there is nobody's to overwrite; looked at first, so that nothing is made in vain.
Result<void> check_output(const std::string& file) {
  if (file.empty() || !shell::file_exists(file)) return {};
  return fail(file + " is there already and is not overwritten; give another file with --output, or remove it");
}

Result<Made> configure(const json& answer, const AddFlags& f, const KeyPair& keys, const Secret<32>& preshared) {
  Made m;
  shell::PhoneConfig c{keys, preshared, {}, {}};
  const auto node = from_base64(answer.at("node").get<std::string>());
  if (!node || node->size() != 32) return fail("the daemon answered in a way that this release does not understand; restart it after an update");
  std::copy(node->begin(), node->end(), c.node.bytes.begin());
  const auto port = answer.at("port").get<uint16_t>();
  std::string host = f.endpoint;
  if (host.empty()) {
    const json& addresses = answer.at("addresses");
    if (addresses.empty())
      return fail("this computer has no way to other networks now, so its address is not known: say with --endpoint HOST:PORT where the device shall call it");
    host = addresses.front().get<std::string>();
    m.note = "The device calls " + host + ", UDP port " + std::to_string(port) +
             ", which is this computer in its own network.  To be reached from elsewhere, add it with --endpoint HOST:PORT, "
             "where HOST is what your router is called from outside, and have the router pass that port on.";
  }
  TRY(c.endpoint, shell::read_phone_endpoint(host, port));
  m.endpoint = c.endpoint;
  m.config = phone_config_text(c);
  return m;
}

Result<void> print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return {};
  return fail("the configuration could not be written to standard output; nothing was added");
}

// Zeros where it is no terminal, or one that does not know.
winsize terminal_size() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return {};
  return size;
}

Result<void> show_code(const QrCode& code) {
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  TRY_VOID(print(code.half_blocks(terminal ? QrCode::Colours::terminal : QrCode::Colours::none)));
  std::fprintf(stderr, "Scan it in the WireGuard app: +, then \"Scan from QR code\".  It holds the device's key and is shown only now.\n");
  const size_t rows = terminal_size().ws_row;
  if (rows != 0 && rows < code.columns() / 2 + 2)
    std::fprintf(stderr, "It has %zu lines: make the window higher, or its letters smaller.\n", (code.columns() + 1) / 2);
  return {};
}

Result<void> show(const Made& m, const AddFlags& f) {
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  if (f.as_json) {
    json j{{"name", f.name}, {"endpoint", m.endpoint}, {"config", m.config}};
    if (!f.output.empty()) j["file"] = f.output;
    return print(j.dump(2) + "\n");
  }
  if (!m.note.empty()) std::fprintf(stderr, "%s\n", m.note.c_str());
  if (f.qr || (terminal && f.output.empty())) {
    TRY(const QrCode code, QrCode::of(m.config));
    const size_t width = terminal_size().ws_col;
    if (width == 0 || width >= code.columns()) return show_code(code);
    std::fprintf(stderr, "This terminal is too narrow for the QR code, which needs %zu columns; here is the configuration:\n", code.columns());
  }
  if (f.output.empty()) return print(m.config);
  TRY_VOID(print("Wrote " + f.output + " for the device.  It holds the device's key: remove the file once the device has it.\n"));
  return {};
}

// The key pair is made here and the daemon never has the private one; nothing that is kept holds it.
Result<int> add(const Program& program, const AddFlags& f) {
  TRY(const Home home, open_home(program));
  TRY_VOID(shell::check_phone_name(f.name));
  if (!f.endpoint.empty()) TRY_VOID(shell::read_phone_endpoint(f.endpoint, home.settings.device_port));
  TRY_VOID(check_output(f.output));
  auto client = daemon_of(home);
  if (!client) return client.error();
  shell::OsRng rng;
  const KeyPair keys = crypto::x25519_generate(rng);
  Secret<32> preshared;
  rng.fill(preshared.fill());
  TRY(const json answer, client->call("device.add", {{"name", f.name},
                                                     {"key", to_base64(keys.pub.bytes)},
                                                     {"preshared", to_base64(preshared.reveal())}}));
  // From here on the daemon knows it: without its configuration it is of no use to anybody.
  const auto hand_out = [&]() -> Result<void> {
    TRY(const Made m, configure(answer, f, keys, preshared));
    if (!f.output.empty()) {
      TRY(const auto created, shell::create_file(f.output, as_bytes(m.config)));
      if (created == shell::Created::existed) return check_output(f.output);
    }
    return show(m, f);
  };
  if (const auto handed = hand_out(); !handed) {
    static_cast<void>(client->call("device.remove", {{"name", f.name}}).ok());
    return handed.failure();
  }
  return kDone;
}

std::string since(const json& device) {
  if (!device.contains("last_handshake_s")) return "not yet";
  const auto s = device["last_handshake_s"].get<uint64_t>();
  if (s < 120) return std::to_string(s) + " s ago";
  if (s < 7200) return std::to_string(s / 60) + " min ago";
  return std::to_string(s / 3600) + " h ago";
}

void print_list(const json& list) {
  for (const json& d : list.at("devices")) {
    std::printf("%-15s  last handshake %-10s  %s in, %s out\n", d.value("name", "").c_str(), since(d).c_str(),
                shell::amount_text(d.value("bytes_in", uint64_t{0})).c_str(),
                shell::amount_text(d.value("bytes_out", uint64_t{0})).c_str());
  }
  if (list.at("devices").empty()) std::printf("No devices.  `macrovpn device add NAME` adds one.\n");
  else if (!list.value("open", true))
    std::printf("They cannot reach this node: UDP port %d is taken by another program, or not for you.\n", list.value("port", 0));
}

Result<int> list(const Program& program, bool as_json) {
  TRY(const Home home, open_home(program));
  auto client = daemon_of(home);
  if (!client) return client.error();
  TRY(const json answer, client->call("device.list"));
  try {
    as_json ? print_json(answer) : print_list(answer);
  } catch (const json::exception&) {
    return fail("the daemon answered in a way that this release does not understand; restart it after an update");
  }
  return kDone;
}

Result<int> remove(const Program& program, const std::string& name) {
  TRY(const Home home, open_home(program));
  auto client = daemon_of(home);
  if (!client) return client.error();
  TRY_VOID(client->call("device.remove", {{"name", name}}));
  std::printf("Removed %s; it is not answered any more.\n", name.c_str());
  return kDone;
}

constexpr const char* kHelp =
    "A phone, tablet or other computer with any WireGuard app goes through the circuits of this node, as long as its daemon\n"
    "runs.  `add` shows a QR code for the app, or writes the configuration to a file.  The node speaks plain WireGuard with the\n"
    "device, on UDP port 51821 (`macrovpn config set device.port`), and the device needs a way to that port: it is in the\n"
    "same network, or --endpoint says where this node is called from outside.\n\n"
    "Examples:\n"
    "  macrovpn device add phone                                    a QR code, for the network that this computer is in\n"
    "  macrovpn device add phone --endpoint home.example.org:51821  from everywhere, if your router passes the port on\n"
    "  macrovpn device add laptop --output laptop.conf              a file for the app, or for wg-quick\n"
    "  macrovpn device list\n"
    "  macrovpn device remove phone";

}  // namespace

void add_device(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("device", "a phone with a WireGuard app, through this node's circuits");
  cmd->footer(kHelp);
  cmd->require_subcommand(1);
  auto f = std::make_shared<AddFlags>();

  auto* make = cmd->add_subcommand("add", "make a configuration for one more");
  make->footer(kHelp);
  make->add_option("NAME", f->name, "what you call it: 1 to 15 letters, digits and _ = + . -")->required();
  make->add_option("--endpoint", f->endpoint, "where the device reaches this node; without it, its address in its own network")
      ->type_name("HOST:PORT");
  make->add_option("--output", f->output, "write the configuration to this new file, which only you can read")->type_name("FILE");
  make->add_flag("--qr", f->qr, "show the QR code even if a file is written, or the output is no terminal");
  make->add_flag("--json", f->as_json, "for programs");
  make->callback([&program, f] { program.action = [&program, f] { return add(program, *f); }; });

  auto* all = cmd->add_subcommand("list", "names, last handshakes and bytes");
  all->add_flag("--json", f->as_json, "for programs");
  all->callback([&program, f] { program.action = [&program, f] { return list(program, f->as_json); }; });

  auto* gone = cmd->add_subcommand("remove", "answer it no more");
  gone->add_option("NAME", f->name, "as it was added")->required();
  gone->callback([&program, f] { program.action = [&program, f] { return remove(program, f->name); }; });
}

}  // namespace macrovpn::app
