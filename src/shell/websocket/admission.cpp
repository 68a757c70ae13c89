#include "shell/websocket/admission.h"

#include "base/secret.h"
#include "crypto/hash.h"

namespace macrovpn::shell::websocket {

Key admission(const NetworkId& network, const PublicKey& relay, const Exporter& exporter) {
  const auto key = crypto::blake2b_256({as_bytes("macrovpn https 1"), network.bytes, relay.bytes});
  return crypto::keyed_blake2s_128(key, {exporter});
}

bool is_admitted(const Key& expected, const std::optional<Key>& said) {
  const bool same = equal_constant_time(expected, said.value_or(Key{}));
  return same && said.has_value();
}

}  // namespace macrovpn::shell::websocket
