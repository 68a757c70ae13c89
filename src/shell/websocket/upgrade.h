// The opening handshake of WebSocket (RFC 6455 §4), as our client asks and our server answers.
//
//   GET / HTTP/1.1                                     HTTP/1.1 101 Switching Protocols
//   Host: NAME                                         Upgrade: websocket
//   Upgrade: websocket                                 Connection: Upgrade
//   Connection: Upgrade                                Sec-WebSocket-Accept: base64(SHA-1(KEY text ‖ GUID))
//   Sec-WebSocket-Version: 13
//   Sec-WebSocket-Key: base64 of 16 bytes
//
// The key is where a client says who it is (admission.h); to others it looks like the random number that it is with everybody.
#pragma once
#include <optional>
#include <string>

#include "shell/websocket/http_head.h"

namespace macrovpn::shell::websocket {

using Key = ByteArray<16>;

// host: what a browser would put there; letters, digits, '.', '-', ':', '[' and ']'.
std::string write_request(std::string_view host, const Key& key);
// The key, if this head asks for a WebSocket without a protocol on top of it.
std::optional<Key> read_request(const Head& head);

std::string write_answer(const Key& key);
bool is_answer(const Head& head, const Key& key);

// base64(SHA-1(key as text ‖ "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")).
std::string accept_of(std::string_view key_text);

}  // namespace macrovpn::shell::websocket
