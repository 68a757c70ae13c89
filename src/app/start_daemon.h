// Starts this user's daemon in the background.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "shell/control/client.h"

namespace macrovpn::app {

inline constexpr Duration kDaemonStartTimeout = std::chrono::seconds(5);

// `arguments` follow "macrovpn".  Returns once its control socket answers; if it ends before, its complaint
// is the error. It has a session of its own, so that neither ^C nor the end of the terminal reaches it.
Result<void> start_daemon(const std::vector<std::string>& arguments, const std::string& control_socket);

// Connects to the daemon that runs; says so on standard error if that or a later call takes long.
Result<shell::control::Client, shell::control::NoDaemon> reach_daemon(const std::string& control_socket);
shell::control::Patience patience_of_a_person();

// Ends the daemon behind a client and waits until its lock is free, so that who comes next meets no half of it.  Fails if
// it refuses, or has not ended after five seconds.
Result<void> stop_daemon(shell::control::Client&, const std::string& control_socket);

}  // namespace macrovpn::app
