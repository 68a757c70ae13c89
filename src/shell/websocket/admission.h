// By what a relay's HTTPS server knows a client: something that only who has the relay's descriptor can say, in this very TLS connection.
//
//   key      = BLAKE2b-256("macrovpn https 1" ‖ network id 8 ‖ the relay's WireGuard key 32)
//   admission = keyed-BLAKE2s-128(key, exporter 32)      exporter: of this connection (RFC 8446 §7.5), label kExporterLabel, no context
//
// Made of the connection's own secrets, so that one that was heard elsewhere, a moment ago or long ago, is worth nothing: there is nothing
// to replay, no clock to agree on, and whoever sits between the two has other secrets with each.  It proves no more than that: anybody who
// has the directory can say it, and what follows is WireGuard, which asks for keys.
#pragma once
#include "model/keys.h"
#include "model/network.h"
#include "shell/websocket/upgrade.h"

namespace macrovpn::shell::websocket {

inline constexpr std::string_view kExporterLabel = "macrovpn https 1";
using Exporter = ByteArray<32>;

Key admission(const NetworkId& network, const PublicKey& relay, const Exporter& exporter);
// In the same time for all keys; `said`: none, if the request held none.
bool is_admitted(const Key& expected, const std::optional<Key>& said);

}  // namespace macrovpn::shell::websocket
