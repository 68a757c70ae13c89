// What `daemon` and `relay` have in common on the command line, and how it becomes DaemonOptions.
#pragma once
#include <string>
#include <vector>

#include "app/command.h"
#include "app/daemon.h"

namespace macrovpn::app {

struct NodeFlags {
  std::string network, descriptors;  // files and folders other than the usual
  int hops = 0;
  std::string mode;
  std::vector<std::string> path;
  bool hop_by_hop = false;
};
void add_node_flags(CLI::App&, NodeFlags&);
void add_client_flags(CLI::App&, NodeFlags&);

// Applies the flags over the settings; kNoNetworkYet if there is none.
Result<Home> open_home_with(const Program&, const NodeFlags&);
Result<DaemonOptions> node_options(const Home&, const NodeFlags&);

}  // namespace macrovpn::app
