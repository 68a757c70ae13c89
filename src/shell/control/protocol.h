// The control protocol: how commands talk to a running daemon.
//
// JSON-RPC 2.0 over a Unix stream socket, one object a line, at most kMaxLine bytes; no batches.  The first
// request is "hello" with the protocol's version.  A request may carry descriptors (SCM_RIGHTS), sent with
// the first byte of its line. Events are notifications from the daemon, for those who asked for them in
// "hello".  Every method is described in control.schema.json.
//
// Who may talk: the user that the daemon runs as, and root (SO_PEERCRED); the caller checks the daemon in the
// same way. The socket is never reachable from inside a box, where untrusted programs run (shell/box).
#pragma once
#include <cstddef>
#include <string>

namespace macrovpn::shell::control {

inline constexpr int kVersion = 1;
inline constexpr size_t kMaxLine = 64 * 1024;
inline constexpr size_t kMaxConnections = 32;
inline constexpr size_t kMaxPendingFds = 4;  // of one connection, not yet claimed by a request
inline constexpr size_t kMaxUnsent =
    1024 * 1024;  // bytes for one connection that does not read; then it is closed

enum class Code : int {
  parse_error = -32700,
  invalid_request = -32600,
  unknown_method = -32601,
  invalid_params = -32602,
  refused = -32000,  // the method failed; the message is a sentence for a person
  hello_first = -32001,
  wrong_version = -32002,
};

std::string release();  // of this program, "0.1.0"

}  // namespace macrovpn::shell::control
