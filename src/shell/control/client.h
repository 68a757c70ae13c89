// The commands' side of the control protocol: blocking, one request after the other.
#pragma once
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "shell/control/connection.h"

namespace macrovpn::shell::control {

struct NoDaemon {
  enum class Why : uint8_t { not_running, not_ours, incompatible, failed };
  Why why = Why::failed;
  Error error;
};

// How long a call waits for a daemon that is stopped, stuck or just busy.
struct Patience {
  Duration longest = std::chrono::seconds(20);
  // Called once in a call that has lasted so long, so that a person may be told.
  Duration slow = std::chrono::seconds(1);
  std::function<void()> on_slow = {};
};

class Client {
 public:
  // `socket_path`: of the file, or "@NAME" for a door (Server::listen_to_all).  Connects, checks that the daemon is
  // ours (or root's) and says hello.  Blocks; `patience` holds for every later call too.
  enum class Events : uint8_t { none, wanted };
  static Result<Client, NoDaemon> connect(const std::string& socket_path, Events = Events::none, Patience = {});
  // The same in two steps, for a process that does not reach the socket itself: dial() connects and checks whose daemon it is,
  // greet() says hello.
  static Result<Fd, NoDaemon> dial(const std::string& socket_path, Duration longest = Patience().longest);
  static Result<Client, NoDaemon> greet(Fd connected, Events = Events::none, Patience = {});

  // The result of the method; `fd` >= 0 goes along and stays the caller's.
  Result<nlohmann::json> call(const std::string& method, const nlohmann::json& params, int fd = -1);
  Result<nlohmann::json> call(const std::string& method);
  // For a caller that polls fd(): takes what came, which can only be events.  Gone: the daemon has ended.
  enum class Alive : uint8_t { yes, gone };
  Alive take_events(const std::function<void(const std::string& event, const nlohmann::json& params)>& f);
  int fd() const { return connection_->fd(); }

 private:
  Client(Fd fd, Patience patience)
      : connection_(std::make_unique<Connection>(std::move(fd))), patience_(std::move(patience)) {}
  Result<nlohmann::json> await_answer(int id);
  std::unique_ptr<Connection> connection_;
  Patience patience_;
  int next_id_ = 1;
};

}  // namespace macrovpn::shell::control
