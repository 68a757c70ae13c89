#include "app/program.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "app/command.h"
#include "app/other_names.h"
#include "shell/nat/upnp_helper.h"
#include "shell/nat/upnp_job.h"

namespace macrovpn::app {
namespace {

constexpr const char* kAbout =
    "Macro VPN: a peer-to-peer VPN through several hops.\n\n"
    "Your traffic goes through relays of other people; with two or more of them none sees both who you are "
    "and where\n"
    "you go.  Not audited yet; Linux only; there is no public network yet.";

constexpr const char* kExamples =
    "Try:\n"
    "  macrovpn network add lab.toml             join a network (or make one: macrovpn network init --lab)\n"
    "  macrovpn run -- curl https://example.org  one program through the VPN, without root; it cannot leak\n"
    "  macrovpn proxy                            SOCKS5 and HTTP on 127.0.0.1:1080, for programs of yours\n"
    "  macrovpn up                               the whole computer, as root; `macrovpn down` ends it\n"
    "  macrovpn status                           are you protected, and through which relays\n"
    "  macrovpn peers                            the relays that you know: where, how fast, how well they worked\n"
    "  macrovpn hop                              move to other relays; open connections live on\n"
    "  macrovpn relay --endpoint 203.0.113.5:51820   carry other people's traffic\n"
    "  macrovpn device add phone                 a QR code for a phone's WireGuard app; it goes through your node\n"
    "  macrovpn dht put --name door \"it is open\"  a small note that relays keep for a day, for those who know your key\n"
    "  macrovpn wireguard wg0                    a plain WireGuard device for wg and wg-quick, as root\n"
    "`macrovpn COMMAND --help` says more.\n\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 no daemon is running, 4 no network yet, 5 refused "
    "without consent.";

// Programs that browsers or other tools start without arguments are this one under another name.
struct OtherName {
  const char* name;
  int (*run)(int argc, char** argv);
};
constexpr OtherName kOtherNames[] = {{"macrovpn-wireguard", run_as_wireguard}, {shell::kUpnpHelperName, shell::run_upnp_helper}};

const OtherName* find_other_name(const char* argv0) {
  const char* slash = std::strrchr(argv0, '/');
  const char* name = slash != nullptr ? slash + 1 : argv0;
  for (const OtherName& o : kOtherNames) {
    if (std::strcmp(o.name, name) == 0) return &o;
  }
  return nullptr;
}

int run_command(int argc, char** argv) {
  CLI::App app(kAbout, "macrovpn");
  app.footer(kExamples);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  Program program;
  app.add_option("--state", program.state_folder,
                 "keep everything in this folder instead of the usual places")
      ->type_name("DIR");
  for (const auto add : {add_run, add_proxy, add_up, add_down, add_status, add_hop, add_relay, add_daemon, add_network, add_descriptor, add_peers,
                         add_key, add_device, add_dht, add_config, add_doctor, add_wireguard, add_version}) {
    add(app, program);
  }
  // What stands behind "--" is not ours to read.
  char** const dashes =
      std::find_if(argv, argv + argc, [](const char* a) { return std::strcmp(a, "--") == 0; });
  if (dashes != argv + argc) program.tail.assign(dashes + 1, argv + argc);
  try {
    app.parse(static_cast<int>(dashes - argv), argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kDone : kUsage;
  }
  if (dashes != argv + argc && !app.got_subcommand("run"))
    return complain({"only `macrovpn run` takes `--` and a program behind it"}, kUsage);
  const auto status = program.action();
  return status ? *status : complain(status.error(), kFailed);
}

}  // namespace

int run_program(int argc, char** argv) {
  if (const OtherName* other = argc > 0 ? find_other_name(argv[0]) : nullptr) return other->run(argc, argv);
  return run_command(argc, argv);
}

}  // namespace macrovpn::app
