// TLS 1.3 (RFC 8446) over a TCP socket that does not block, by OpenSSL.
//
// A peer may renew its keys kMostKeyUpdates times: each of ours that it asks for is an answer, and costs us as much as it.
//
// ALPN is http/1.1.  A client compares the server's certificate with a pin and asks nobody else; it does so before it says a byte.
#pragma once
#include <memory>
#include <string>

#include "base/result.h"
#include "shell/fd.h"
#include "shell/tls/certificate.h"

struct ssl_st;
struct ssl_ctx_st;

namespace macrovpn::shell::tls {

// Settings that connections share.  Outlives them.
class Context {
 public:
  static Result<Context> server(const std::string& pem);  // key and certificate
  static Result<Context> client();
  Pin pin() const;  // a server's own

 private:
  friend class Stream;
  struct Free {
    void operator()(ssl_ctx_st*) const;
  };
  std::unique_ptr<ssl_ctx_st, Free> context_;
};

class Stream {
 public:
  static constexpr uintptr_t kMostKeyUpdates = 32;
  // What became of a call.  wants_*: try again when the socket is so.
  enum class Outcome : uint8_t { done, wants_read, wants_write, ended };

  static Result<Stream> accept(const Context& context, Fd socket);
  // name: what the client asks for (SNI); empty: nothing.
  static Result<Stream> connect(const Context& context, Fd socket, const std::string& name);

  int fd() const { return fd_.get(); }
  Outcome shake_hands();
  // After the handshake.
  Pin peer_pin() const;                                 // zeros if the peer has no certificate
  ByteArray<32> exporter(std::string_view label) const;  // RFC 8446 §7.5, without a context
  // n: how much, if done.  After a record that held nothing for us it wants to be called again: wants_read, though more may be there.
  Outcome read(MutBytes into, size_t& n);
  Outcome write(Bytes from, size_t& n);
  // Says goodbye if that can be said at once, and ends what we send.
  void close();

 private:
  struct Free {
    void operator()(ssl_st*) const;
  };
  static Result<Stream> make(const Context& context, Fd socket);
  Outcome judge(int returned) const;
  Fd fd_;
  std::unique_ptr<ssl_st, Free> ssl_;  // goes before the socket
};

}  // namespace macrovpn::shell::tls
