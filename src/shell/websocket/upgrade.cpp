#include "shell/websocket/upgrade.h"

#include "crypto/sha1.h"

namespace macrovpn::shell::websocket {
namespace {

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

bool asks_for_upgrade(const Head& head) {
  return head.lists("Upgrade", "websocket") && head.lists("Connection", "Upgrade");
}

}  // namespace

std::string accept_of(std::string_view key_text) {
  return to_base64(crypto::sha1(as_bytes(std::string(key_text).append(kGuid))));
}

std::string write_request(std::string_view host, const Key& key) {
  return "GET / HTTP/1.1\r\nHost: " + std::string(host) +
         "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + to_base64(key) +
         "\r\n\r\n";
}

std::optional<Key> read_request(const Head& head) {
  const bool get = head.first_line.starts_with("GET /") && head.first_line.ends_with(" HTTP/1.1");
  if (head.parse != Head::Parse::done || !get || !head.only("Host") || !asks_for_upgrade(head)) return std::nullopt;
  const auto version = head.only("Sec-WebSocket-Version"), key = head.only("Sec-WebSocket-Key");
  if (!version || *version != "13" || !key || key->size() != 24 || head.has("Sec-WebSocket-Protocol")) return std::nullopt;
  const auto bytes = from_base64(*key);
  return bytes ? to_array<16>(*bytes) : std::nullopt;
}

std::string write_answer(const Key& key) {
  return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
         accept_of(to_base64(key)) + "\r\n\r\n";
}

bool is_answer(const Head& head, const Key& key) {
  const bool switches = head.parse == Head::Parse::done && head.first_line.starts_with("HTTP/1.1 101 ") && asks_for_upgrade(head);
  const auto accept = head.only("Sec-WebSocket-Accept");
  // Nothing of the kind was asked for.
  const bool more = head.has("Sec-WebSocket-Extensions") || head.has("Sec-WebSocket-Protocol");
  return switches && !more && accept && *accept == accept_of(to_base64(key));
}

}  // namespace macrovpn::shell::websocket
