// The network file: the rules that all nodes of one network share (model/network.h), as TOML, signed by the
// network's key.
//
// The last line is   signature = "BASE64"   over "macrovpn network 1" and every byte before that line.  The
// network id follows from the key, so a file cannot speak for another network (docs/protocol.md "Network
// file").
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "crypto/ed25519.h"
#include "model/network.h"

namespace macrovpn::shell {

NetworkId network_id_of(const IdentityKey&);

// The whole text.  id and key of Network are the signing key's, whatever it says.
std::string sign_network_file(const Network&, const crypto::SigningKey&);
// Checks signature and values.  `file` is for the messages.
Result<Network> parse_network_file(std::string_view text, const std::string& file);
Result<Network> read_network_file(const std::string& path);

}  // namespace macrovpn::shell
