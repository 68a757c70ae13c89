// A small world for the exit's tests, all of it in namespaces of the test process:
//
//   client boxes ── packet device ── [the test process: addresses rewritten, exit under test] ── veth ──
//   internet 10.10.0.2, fd86:ea04:1115::2       192.0.2.1, 2001:db8::1 198.51.100.10, 203.0.113.20 ...
//
// The process itself lives in the exit host's network, so that what the exit opens is as in production.
#pragma once
#include <gtest/gtest.h>

#include <functional>

#include "shell/exit/exit_backend.h"
#include "shell/exit/socket_address.h"
#include "shell/namespace.h"

namespace macrovpn::shell::world {

// Empty when the world stands, else why there can be none here.
const std::string& refusal();

inline Endpoint at(const char* text) {
  return *Endpoint::parse(text);
}

// A client's box: sockets made in it act as its programs.
class Client {
 public:
  explicit Client(routing::LeaseNumber lease);
  Fd socket(int family, int type, int protocol = 0);
  PacketDevice device;
  const routing::LeaseNumber lease;

 private:
  Helper helper_;
};

// An exit between the clients and the internet, all on one reactor.
class Bench {
 public:
  using Make = std::function<Result<std::unique_ptr<ExitBackend>>(Reactor&, Rng&, PacketPool&, ExitConfig,
                                                                  ExitBackend::OnPackets)>;
  static ExitConfig config();
  Bench(const ExitConfig& config, const Make& make);
  ~Bench();
  Client& add_client(routing::LeaseNumber lease);
  // Runs the reactor until it is so; false after `longest`.
  bool until(const std::function<bool()>& done, Duration longest = 5s);
  void run_for(Duration d) {
    until([] { return false; }, d);
  }

  // What a program of `client` sees.  TCP: 0 or the errno of connect().
  int connect_tcp(const Fd& socket, const Endpoint& to);
  std::string read_all(const Fd& socket, size_t at_least, Duration longest = 5s);  // also ends at FIN
  void write_all(const Fd& socket, std::string_view bytes);
  std::string ask_udp(const Fd& socket, const Endpoint& to, std::string_view bytes, Duration longest = 2s);
  int udp_error(const Fd& socket, const Endpoint& to);  // the errno that a connected socket meets
  std::vector<IpAddress> resolve(Client&, const char* name, uint16_t type, const Endpoint& server,
                                 int socket_type = SOCK_DGRAM);

  Reactor reactor;
  SeededRng rng{1};
  PacketPool pool;
  std::vector<std::unique_ptr<Client>> clients;
  std::unique_ptr<ExitBackend> exit;
  size_t circuits_carry = SIZE_MAX;  // longer packets for clients are lost
  std::string error;  // why there is no exit
};

}  // namespace macrovpn::shell::world
