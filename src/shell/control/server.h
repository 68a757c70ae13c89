// The daemon's side of the control protocol (protocol.h), in its Reactor.
//
//   TRY(const Fd only, lock_daemon(paths.control_socket()));
//   TRY(auto server, Server::listen(reactor, paths.control_socket()));
//   server->on("status", [&](Request&) -> Result<nlohmann::json> { return node_status(); });
//
// An Error becomes a JSON-RPC error with the sentence as message; so does a json exception (wrong
// parameters). "hello" is answered here.  A file lock beside the socket lets one daemon run per socket; a
// socket that a dead one left behind is replaced.
#pragma once
#include <sys/types.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "base/strong.h"
#include "base/time.h"
#include "shell/control/connection.h"
#include "shell/reactor.h"

namespace macrovpn::shell::control {

// The right to be the one daemon of this socket and of the files beside it: a file lock, until the descriptor is closed.
// Take it before the first of the files is read and keep it until the last is written, since stop_daemon() waits for it.
// A socket that a dead daemon left is taken away.  While another one starts or ends (it holds the lock and has no
// socket), waits for it up to `patience`.
Result<Fd> lock_daemon(const std::string& socket_path, Duration patience = std::chrono::seconds(3));

using ConnectionId = Strong<struct ConnectionIdTag, uint64_t>;

struct Request {
  ConnectionId from;
  const nlohmann::json& params;  // an object; empty if none was sent
  Connection& connection;
  Fd take_fd() { return connection.take_fd(); }  // the descriptor that came with the request; empty if none
};

class Server {
 public:
  using Handler = std::function<Result<nlohmann::json>(Request&)>;

  // The caller holds lock_daemon(socket_path).
  static Result<std::unique_ptr<Server>> listen(Reactor&, const std::string& socket_path);
  // A door for every user of this computer, under a name of the network namespace (unix(7), abstract sockets): a box has
  // another one, so that nothing in it finds the door.  Its handlers must ask Connection::peer_uid().
  static Result<std::unique_ptr<Server>> listen_to_all(Reactor&, const std::string& name);
  // No two servers give the same ConnectionId, nor do two doors of which one came after the other.
  static bool came_through_a_door(ConnectionId id) { return id.value >= kFirstOfDoor; }
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void on(const std::string& method, Handler handler);
  // Called once for every connection that ends, so that what it attached can be let go.
  void on_disconnect(std::function<void(ConnectionId)> f) { disconnected_ = std::move(f); }
  // An event for one connection, or for all that asked for events.
  void push(ConnectionId, std::string_view event, const nlohmann::json& params);
  void broadcast(std::string_view event, const nlohmann::json& params);
  size_t connections() const { return clients_.size(); }

 private:
  struct Client {
    explicit Client(Fd fd) : connection(std::move(fd)) {}
    Connection connection;
    bool said_hello = false, wants_events = false;
  };
  Server(Reactor& reactor, Fd socket, std::string path);
  static constexpr uint64_t kFirstOfDoor = uint64_t{1} << 32;
  inline static std::atomic<uint64_t> next_of_doors_ = kFirstOfDoor;
  void accept_all();
  void admit(Fd fd);
  void on_ready(ConnectionId, uint32_t events);
  void take_lines(ConnectionId, Client&);
  void answer(ConnectionId, Client&, const std::string& line);
  nlohmann::json dispatch(ConnectionId, Client&, const nlohmann::json& request);
  nlohmann::json hello(Client&, const nlohmann::json& id, const nlohmann::json& params);
  void send(ConnectionId, Client&, const nlohmann::json& message);
  void close(ConnectionId);

  Reactor& reactor_;
  Fd socket_;
  std::string path_;
  std::map<std::string, Handler> handlers_;
  std::function<void(ConnectionId)> disconnected_;
  std::map<ConnectionId, std::unique_ptr<Client>> clients_;
  uint64_t next_id_ = 1;  // of who comes to a socket of our own
  enum class Admits : uint8_t { us_and_root, everybody } admits_ = Admits::us_and_root;
};

}  // namespace macrovpn::shell::control
