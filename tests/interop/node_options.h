// What wg_node is told on its command line.
//
//   --ifname NAME --private-key FILE|BASE64 [--listen PORT] [--mtu N] [--address ADDRESS/LENGTH]...
//   [--load-threshold N]      initiations in a second above which cookies are demanded; 0: always
//   --peer PUBLIC             a peer; what follows belongs to it
//     [--psk BASE64] [--endpoint ADDRESS:PORT] [--allowed PREFIX,...] [--keepalive SECONDS]
#pragma once
#include <string>
#include <vector>

#include "core/encryption/tunnels.h"
#include "shell/tun.h"

namespace macrovpn::interop {

struct NodeOptions {
  std::string ifname;
  KeyPair self;
  uint16_t listen_port = 0;
  unsigned mtu = 1420;
  std::vector<shell::InterfaceAddress> addresses;
  encryption::TunnelLimits limits;
  std::vector<encryption::ConfiguredPeer> peers;
};

Result<NodeOptions> parse_options(const std::vector<std::string>& words);

}  // namespace macrovpn::interop
