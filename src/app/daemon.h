// What a running node is told at its start, by `macrovpn daemon` and `macrovpn relay`.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/discovery/descriptor.h"
#include "model/network.h"
#include "shell/config/key_store.h"
#include "shell/config/paths.h"
#include "shell/config/settings.h"

namespace macrovpn::app {

enum class ExitRole : uint8_t { none, rootless, kernel, automatic };  // automatic: kernel if we may, else rootless

struct Roles {
  enum class Client : uint8_t { off, on } client = Client::off;  // builds circuits for packet devices that are attached
  enum class Relay : uint8_t { off, on } relay = Relay::off;     // listens, carries for others, publishes a descriptor
  ExitRole exit = ExitRole::none;                                // only with relay
};

// What a relay says of itself in its descriptor (all claims).
struct RelayClaims {
  Region region;
  Bandwidth bandwidth;
  uint32_t as_number = 0;
  std::optional<discovery::FamilyProof> family;
};

struct DaemonOptions {
  shell::Paths paths;
  std::string control_socket;     // paths.control_socket(); its folder exists
  std::string descriptor_folder;  // exists; a relay rewrites its own file there
  Network network;
  shell::Keys keys;
  shell::Settings settings;
  Roles roles;
  std::vector<Endpoint> listen;            // UDP; a client alone: empty, any free port
  std::vector<Endpoint> public_endpoints;  // for the descriptor, 1..4 if a relay; others reach us there
  RelayClaims claims;
  unsigned hops = 3;  // 1..5
  bool hop_by_hop = false;  // labs: no early data, one round trip per hop
  // For labs and tests: circuits take exactly these relays, first hop first.  Empty: path choice as it should be.
  std::vector<PeerId> path;
};

// Runs until SIGTERM, SIGINT or the control method "stop".  The result is the exit status of the program.
Result<int> run_daemon(const DaemonOptions&);

}  // namespace macrovpn::app
