// What all commands share.  Each stands in a cmd_*.cpp of its own, registers itself and leaves an action.
#pragma once
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/network.h"
#include "shell/config/paths.h"
#include "shell/config/settings.h"

namespace CLI {
class App;
}

namespace macrovpn::app {

enum Status : int { kDone = 0, kFailed = 1, kUsage = 2, kNoDaemon = 3, kNoNetwork = 4, kNoConsent = 5 };

struct Program {
  std::optional<std::string> state_folder;  // --state
  std::vector<std::string> tail;            // what stood behind "--": another program's command line
  std::function<Result<int>()> action;      // of the command that was given
};

void add_config(CLI::App&, Program&);
void add_daemon(CLI::App&, Program&);
void add_descriptor(CLI::App&, Program&);
void add_device(CLI::App&, Program&);
void add_dht(CLI::App&, Program&);
void add_doctor(CLI::App&, Program&);
void add_down(CLI::App&, Program&);
void add_hop(CLI::App&, Program&);
void add_key(CLI::App&, Program&);
void add_network(CLI::App&, Program&);
void add_peers(CLI::App&, Program&);
void add_proxy(CLI::App&, Program&);
void add_relay(CLI::App&, Program&);
void add_run(CLI::App&, Program&);
void add_status(CLI::App&, Program&);
void add_up(CLI::App&, Program&);
void add_version(CLI::App&, Program&);
void add_wireguard(CLI::App&, Program&);

// This user's folders and settings; the folders exist afterwards.
struct Home {
  shell::Paths paths;
  shell::Settings settings;
  std::string network_file() const;
  std::string descriptor_folder() const;
};
Result<Home> open_home(const Program&);

// How commands end when something is missing: the sentence on standard error, the status returned.
int complain(const Error&, Status);
// "No network yet ..." if there is none.
inline constexpr const char* kNoNetworkYet =
    "No network yet: paste an invite or make one (`macrovpn network join LINK`, `macrovpn network init`)";
bool has_network(const Home&);
Result<Network> open_network(const Home&);

void print_json(const nlohmann::json&);
std::string release();

}  // namespace macrovpn::app
