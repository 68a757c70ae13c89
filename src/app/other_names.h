// What this program is under another name (argv[0]): for programs that start others without arguments of
// their own.
#pragma once

namespace macrovpn::app {

// `macrovpn-wireguard [-f|--foreground] INTERFACE` and `macrovpn-wireguard --version`: called as wireguard-go
// is.
int run_as_wireguard(int argc, char** argv);

}  // namespace macrovpn::app
