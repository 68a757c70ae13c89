// Server: a relay's HTTPS port.  Who proves that he has the relay's descriptor gets a Link; everybody else, an ordinary page.
//
//   TCP  →  TLS 1.3  →  a request (websocket/http_head.h)  →  admitted: 101, then datagrams both ways
//                                                          →  else: the page, and the end
//
// A stranger sees the same bytes after the same work whatever he says, garbage too, and when he says too little: the page comes when the
// request is over, when it is too long, or when its time is.  What he can learn is that this is a small web server (of OpenSSL's kind).
//
// To the node a link is one more address that datagrams come from: kHttpsSocket and the TCP connection's far end.  All that the node
// does by address (shares, cookies, what an unconfirmed caller may be sent) holds for it, only that this address is proved already.
// A session moves to a link, or away, as it moves between addresses: by its own authenticated packets.
//
// Bounds are the constants below.  Where strangers fill their places, the oldest of them goes, so that a newcomer has his handshake's time.
#pragma once
#include <map>
#include <mutex>
#include <set>

#include "core/encryption/rate_limit.h"
#include "core/node/effects.h"
#include "model/caller_key.h"
#include "model/network.h"
#include "shell/acceptor.h"
#include "shell/https/link.h"
#include "shell/reactor.h"
#include "shell/websocket/upgrade.h"

namespace macrovpn::shell::https {

inline constexpr SocketId kHttpsSocket{254};

struct ServerConfig {
  NetworkId network;
  PublicKey relay;   // its WireGuard key
  std::string page;  // html; empty: kStandardPage
};

struct ServerCounters {
  uint64_t admitted = 0, pages = 0, refused = 0;  // refused: for want of a place, or too many handshakes
};

class Server {
 public:
  static constexpr size_t kMostStrangers = 256, kMostStrangersOfSource = 16;
  static constexpr size_t kMostLinks = 1024, kMostLinksOfSource = 64;
  static constexpr encryption::Rate kHandshakes{200, 100}, kHandshakesOfSource{10, 20};  // a second; each costs about 0.5 ms
  static constexpr Duration kHandshakeTime = 10s, kRequestTime = 10s, kPageTime = 5s;
  // Of a link, since the node last answered it: as long as a session lives.  What comes in proves nothing; who says nothing that the node answers
  // holds a place for kFirstAnswer.
  static constexpr Duration kIdle = 180s, kFirstAnswer = 15s;
  static constexpr size_t kMostFromOthers = 1024;

  using OnDatagrams = std::function<void(std::span<node::Datagram>)>;
  // By the thread of the reactor.  What is passed by reference outlives it.
  Server(Reactor& reactor, PacketPool& pool, Rng& rng, tls::Context context, ServerConfig config, OnDatagrams on_datagrams);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // The unspecified IPv4 address listens on both families.
  Result<void> listen(const Endpoint& local);
  uint16_t port() const { return port_; }  // of the last listen()

  // To links; where there is none any more, it is lost, as on any network.
  void send(std::span<node::Datagram> datagrams);
  // The same, by another thread.
  void send_from_elsewhere(std::span<node::Datagram> datagrams);

  size_t links() const { return by_remote_.size(); }
  size_t strangers() const { return strangers_.size(); }
  const ServerCounters& counters() const { return counters_; }

 private:
  enum class Phase : uint8_t { handshake, request, page, link };
  struct Connection;
  using Id = uint64_t;

  enum class Said : uint8_t { perhaps_more, all };

  void welcome(Fd socket);
  void on_event(Id id, uint32_t events);
  bool advance(Id id, Connection& c, uint32_t events);
  bool shake_hands(Connection& c);
  bool read_request(Id id, Connection& c);
  bool judge(Id id, Connection& c, Said how);
  bool write_page(Connection& c);
  bool become_link(Id id, Connection& c, const websocket::Key& key, size_t used);
  bool serve(Connection& c, uint32_t events);
  bool hand_over(Connection& c);
  void watch(Connection& c) const;
  void end(Id id);
  void sweep();
  void on_bell();

  Reactor& reactor_;
  PacketPool& pool_;
  Rng& rng_;
  tls::Context context_;
  ServerConfig config_;
  OnDatagrams on_datagrams_;
  std::vector<Fd> listeners_;
  std::unique_ptr<Acceptor> acceptor_;  // goes before them
  uint16_t port_ = 0;
  std::map<Id, std::unique_ptr<Connection>> connections_;
  std::set<Id> strangers_;  // connections that are no links, oldest first
  std::map<Endpoint, Id> by_remote_;
  Shares shares_of_strangers_{kMostStrangers}, shares_of_links_{kMostLinks};
  encryption::TokenBucket handshakes_;
  encryption::RateLimit handshakes_of_sources_{4096};
  std::optional<Reactor::TimerId> timer_;
  std::vector<Packet> got_;
  std::vector<node::Datagram> datagrams_;
  Id next_ = 1;
  ServerCounters counters_;
  Fd bell_;
  std::mutex mutex_;
  std::vector<std::pair<Endpoint, std::vector<uint8_t>>> from_elsewhere_;  // under mutex_
};

}  // namespace macrovpn::shell::https
