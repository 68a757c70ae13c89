// What a stock WireGuard app is given, in the format of wg-quick(8): the phone's keys, the inside addresses that everybody
// has, our name server inside, everything into the tunnel, and where this node is called.
#pragma once
#include <string>

#include "base/result.h"
#include "model/ip.h"
#include "model/keys.h"

namespace macrovpn::shell {

struct PhoneConfig {
  KeyPair phone;
  Secret<32> preshared;
  PublicKey node;
  std::string endpoint;  // from read_phone_endpoint(), or an Endpoint's text
};
std::string phone_config_text(const PhoneConfig&);

// "HOST:PORT", "[2001:db8::1]:PORT" or either without the port, which is then `port`; HOST may be a name.  A line that
// follows in it would be taken for one of the configuration, so only what a name or an address has is let in.
Result<std::string> read_phone_endpoint(const std::string& typed, uint16_t port);

}  // namespace macrovpn::shell
