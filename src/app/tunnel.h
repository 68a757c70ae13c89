// What the commands share that put programs into a private network with a tunnel: `run` and `proxy`.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "app/node_options.h"
#include "shell/box/attachment.h"

namespace macrovpn::app {

struct TunnelFlags {
  NodeFlags node;
  std::string device;
  unsigned wait_seconds = 20;
};
void add_tunnel_flags(CLI::App&, TunnelFlags&);

// What --device chose; none: a TUN if there can be one.
Result<std::optional<shell::PacketDevice::Kind>> chosen_device(const TunnelFlags&);
// What fits a circuit of that many hops over IPv4.
unsigned inside_mtu(const Home&, const NodeFlags&);

// Whether the whole computer is behind `macrovpn up`.  Its daemon then serves programs of every user: a
// daemon of the user's own could not work, as its datagrams would go through the tunnel and no exit sends to
// relays.
bool computer_is_up();
// Where to attach: at that daemon's door, or at the user's own daemon.
std::string daemon_socket(const Home&);
// Circuits are that daemon's then, so that nothing about them can be chosen.
Result<void> check_flags_while_up(const NodeFlags&);

// Starts this user's daemon with the same settings, and says so on standard error.
Result<void> start_daemon_for(const Program&, const NodeFlags&, const Home&);
// Attaches to the daemon that runs, or to one that `start` starts.
Result<void> attach_or_start(shell::Attachment&, const std::function<Result<void>()>& start);
// A program that starts before there is a circuit would meet lost packets and give up.  Says that it is
// connecting if that takes long.  False: not within these seconds; `cause` then says why.
Result<bool> wait_until_connected(shell::control::Client&, unsigned seconds, std::string& cause);

}  // namespace macrovpn::app
