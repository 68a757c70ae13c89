// ClientConnection: one program's TCP connection to the proxy, from its first byte to its end.
//
//   asking ──> dialing ──> joined        bytes go both ways (SplicePair)
//     │           │
//     │           └─> closing            a refusal was sent; it gets 2 s to be read
//     └─> associated                     SOCKS5 UDP ASSOCIATE; lasts as long as this connection
//
// Its first byte tells the protocol: 05 is SOCKS5, a letter HTTP.  Whose it is was checked before (proxy.h).
#pragma once
#include "shell/exit/splice_pair.h"
#include "shell/proxy/dial.h"
#include "shell/proxy/http_request.h"
#include "shell/proxy/proxy_context.h"

namespace macrovpn::shell {

class ClientConnection {
 public:
  using OnEnd = std::function<void()>;  // may destroy the connection; never called by the constructor
  ClientConnection(ProxyContext&, Fd socket, OnEnd on_end);
  ~ClientConnection();
  ClientConnection(const ClientConnection&) = delete;
  ClientConnection& operator=(const ClientConnection&) = delete;

  // Has not yet said what it wants, or has been refused.
  bool is_asking() const { return state_ == State::asking || state_ == State::closing; }
  bool has_lapsed(Mono now) const;
  void reset();  // closes with RST

 private:
  enum class State : uint8_t { asking, dialing, joined, associated, closing };
  enum class Step : uint8_t { greeting, credentials, socks_request, http };  // what is read next
  // What a step left behind: keep reading, nothing to read now, or the connection is gone.
  enum class After : uint8_t { again, wait, gone };

  void on_event(uint32_t events);
  After read_some();
  After step();
  After on_greeting();
  After on_credentials();
  After on_socks_request();
  After on_http();
  bool say(Bytes);
  After refuse(Outcome);
  After refuse_socks(SocksCode);
  After refuse_http(const HttpAnswer&);
  After close_after_answer();
  After dial(const Target&);
  void on_dialed(Outcome, Fd);
  After associate();
  bool join_group();
  void watch(uint32_t events);
  void end();

  ProxyContext& context_;
  Fd socket_;
  OnEnd on_end_;
  State state_ = State::asking;
  Step step_ = Step::greeting;
  Mono since_;  // of the state
  uint32_t watched_ = 0;
  std::vector<uint8_t> in_;
  std::string user_;
  std::optional<GroupSlot> slot_;
  HttpRequest http_;  // once read
  std::unique_ptr<Dial> dial_;
  std::unique_ptr<SplicePair> pair_;
  std::unique_ptr<UdpAssociation> association_;
};

}  // namespace macrovpn::shell
