// The network file: the rules that all nodes of one network share (model/network.h), as TOML, signed by the
// network's key.
//
//   version … extra_global    one "name = value" a line
//   seeds = ["IDENTITY WIREGUARD ADDRESS:PORT …", …]     keys in base64
//   without_seeds = "BASE64"  the signature of the same file with no seeds, and without this line; not there if there are none
//   signature = "BASE64"      over "macrovpn network 1" and every byte before this line
//
// The network id follows from the key, so a file cannot speak for another network (docs/protocol.md "Network
// file").  The text follows from the values, so a few bytes of values and without_seeds are enough to write down a file that its owner
// signed: an invite link is that (invite.h).
//
// Version 1, whose seeds had no keys, is read as one without seeds, older than all others.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "crypto/ed25519.h"
#include "model/network.h"

namespace macrovpn::shell {

NetworkId network_id_of(const IdentityKey&);

// The whole text.  id and key of Network are the signing key's, whatever it says.
std::string sign_network_file(const Network&, const crypto::SigningKey&);
// The file with these values and no seeds, under a signature that its owner made.
std::string network_file_of(const Network&, const crypto::Signature&);
// The signature of such a file, from a whole one: nothing for version 1 with seeds, and for a text that is not as we write it.
std::optional<crypto::Signature> signature_without_seeds(std::string_view text);

// "IDENTITY WIREGUARD ADDRESS:PORT ..."
std::string to_text(const Seed&);
std::optional<Seed> parse_seed(std::string_view);

// Checks signature and values.  `file` is for the messages.
Result<Network> parse_network_file(std::string_view text, const std::string& file);
Result<Network> read_network_file(const std::string& path);

}  // namespace macrovpn::shell
