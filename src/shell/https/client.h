// Client: one connection to a relay's HTTPS port, from TCP to a Link.
//
// The certificate must be the one whose hash the relay's signed descriptor holds; if it is not, not a byte is said and nobody is asked
// for a second opinion: somebody else answers there.
#pragma once
#include <functional>
#include <optional>

#include "model/network.h"
#include "shell/https/link.h"
#include "shell/reactor.h"
#include "shell/websocket/upgrade.h"

namespace macrovpn::shell::https {

// Where a relay's HTTPS port is, from its descriptor.
struct Address {
  Endpoint endpoint;
  std::string name;  // said in the open (SNI)
  tls::Pin pin{};
  PublicKey relay;   // its WireGuard key
};

class Client {
 public:
  static constexpr Duration kConnectTime = 8s;  // for all of it
  enum class Why : uint8_t { unreachable, wrong_certificate, not_admitted, ended };
  struct Events {
    std::function<void()> ready;
    std::function<void(std::span<Packet>)> datagrams;
    std::function<void(Why)> over;  // may destroy the client
  };

  // What is passed by reference outlives it.  mark: as for UdpSocket.
  Client(Reactor& reactor, PacketPool& pool, Rng& rng, const tls::Context& context, const NetworkId& network, Address address,
         uint32_t mark, Events events);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  Result<void> start();
  bool is_ready() const { return link_.has_value(); }
  void send(Packet&& datagram);  // once it is ready
  void flush();                  // what was given since
  uint64_t lost() const { return link_ ? link_->lost() : 0; }

 private:
  enum class Phase : uint8_t { connect, handshake, answer, link };
  std::optional<Why> advance(uint32_t events);
  std::optional<Why> shake_hands();
  std::optional<Why> read_answer();
  std::optional<Why> serve(uint32_t events);
  void watch();
  void finish(Why why);

  Reactor& reactor_;
  PacketPool& pool_;
  Rng& rng_;
  const tls::Context& context_;
  NetworkId network_;
  Address address_;
  uint32_t mark_;
  Events events_;
  Phase phase_ = Phase::connect;
  int fd_ = -1;  // that the reactor watches; the stream's or the link's
  std::optional<tls::Stream> stream_;
  std::optional<Link> link_;
  websocket::Key key_{};
  std::vector<uint8_t> heard_;
  std::vector<Packet> got_;
  std::optional<Reactor::TimerId> timer_;
  uint32_t wanted_ = 0, watched_ = 0;
};

}  // namespace macrovpn::shell::https
