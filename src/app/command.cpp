#include "app/command.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "shell/config/atomic_file.h"
#include "shell/config/network_file.h"

namespace macrovpn::app {

std::string Home::network_file() const {
  return settings.network_file.empty() ? paths.network_file() : settings.network_file;
}
std::string Home::descriptor_folder() const {
  return settings.descriptor_folder.empty() ? paths.descriptor_folder() : settings.descriptor_folder;
}

Result<Home> open_home(const Program& program) {
  Home home;
  TRY(home.paths, shell::find_paths(shell::read_environment(), program.state_folder));
  TRY_VOID(shell::make_folders(home.paths));
  TRY(home.settings, shell::load_settings(home.paths.settings_file(), home.paths.overlay_file()));
  return home;
}

int complain(const Error& e, Status status) {
  std::fprintf(stderr, "macrovpn: %s\n", e.message.c_str());
  return status;
}

bool has_network(const Home& home) {
  return shell::file_exists(home.network_file());
}

Result<Network> open_network(const Home& home) {
  if (!has_network(home)) return fail(kNoNetworkYet);
  return shell::read_network_file(home.network_file());
}

void print_json(const nlohmann::json& j) {
  std::printf("%s\n", j.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

std::string release() {
  return MACROVPN_RELEASE;
}

}  // namespace macrovpn::app
