// The keys of this node: who it is (Ed25519) and what it is called on the wire (X25519).
//
// The file is readable by its owner only; one that others can read is refused, because whoever read it can
// pretend to be this node.  A backup is a text locked with a passphrase (crypto/passphrase.h), to print or
// keep anywhere.
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "crypto/ed25519.h"
#include "crypto/passphrase.h"

namespace macrovpn::shell {

struct Keys {
  crypto::SigningKey identity;
  KeyPair wireguard;
  Wall created;  // hour-rounded: it is published
};

Keys generate_keys(Rng&, Wall now);
Result<Keys> load_keys(const std::string& path);
// Makes them on first use; of two programs that start at once both get the same.
Result<Keys> load_or_create_keys(const std::string& path, Rng&, Wall now);
// Fails if there is a file already: nobody's keys are ever overwritten.
Result<void> store_new_keys(const std::string& path, const Keys&);

Result<std::string> backup_keys(const Keys&, std::string_view passphrase, Rng&, crypto::PassphraseCost = {});
Result<Keys> restore_keys(std::string_view backup, std::string_view passphrase);

// A signing key alone, in a file of the same kind: the key of a network, or of a family.
Result<crypto::SigningKey> load_signing_key(const std::string& path);
Result<void> store_new_signing_key(const std::string& path, const crypto::SigningKey&);

}  // namespace macrovpn::shell
