// The head of an HTTP/1 request to a proxy (RFC 9110, 9112), as bytes.  Pure functions.
//
//   CONNECT host:port HTTP/1.1          a tunnel
//   GET http://host/path HTTP/1.1       forwarded: as "GET /path" with this host's Host field, without what
//   is
//                                       meant for us (Proxy-*) or for one connection (Connection and what it
//                                       names), and with "Connection: close", since we forward one request
//   GET /path HTTP/1.1                  refused: it is for a web server.  That is all that a web page can
//   make
//                                       a browser send here
//
// Strict where leniency is known to hurt (request smuggling): one length, no chunks, no folded lines, no bare
// LF.
#pragma once
#include <string>
#include <vector>

#include "base/bytes.h"
#include "shell/proxy/socks_message.h"
#include "shell/proxy/target.h"

namespace macrovpn::shell {

inline constexpr size_t kMaxHttpHead = 16 << 10;

struct HttpRequest {
  enum class Kind : uint8_t { connect, forward };
  Parse parse = Parse::more;
  HttpAnswer refusal{};  // if bad
  size_t used = 0;
  Kind kind = Kind::connect;
  Target target;
  std::string user;       // of Proxy-Authorization: Basic; the password is not looked at
  std::string forwarded;  // forward: the head for the web server
  uint64_t body = 0;      // forward: bytes of the request that follow its head
};
// All that has come so far.
HttpRequest read_http_request(Bytes in);

// Whole answers of ours.
std::string http_established();
std::string http_refusal(const HttpAnswer&);

}  // namespace macrovpn::shell
