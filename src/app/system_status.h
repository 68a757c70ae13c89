// What `macrovpn status` adds about the kill switch of `macrovpn up`: from the kernel, so that it is told
// also when no daemon runs.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "shell/config/paths.h"

namespace macrovpn::app {

// `status`: a daemon's answer, or {"state": "off", ...} without one.  Where the kill switch is loaded and
// nobody serves the whole computer, the state becomes "blocked".  Where it should be loaded and is not: why.
void add_kill_switch(nlohmann::json& status, const shell::Paths&);
// As root, on a computer that was restarted while up: gives /etc/resolv.conf back, and says so on standard error.
void give_back_names_after_restart(const shell::Paths&);
void print_kill_switch(const nlohmann::json& status);

}  // namespace macrovpn::app
