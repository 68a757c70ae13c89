// RecordDesk: the methods dht.put, dht.get and dht.look of the control socket (control.schema.json): questions that take seconds are begun by one
// request, and looked after by others of the same connection until they have ended.
#pragma once
#include <map>
#include <nlohmann/json_fwd.hpp>

#include "shell/control/server.h"
#include "shell/driver/driver.h"

namespace macrovpn::app {

class RecordDesk {
 public:
  static constexpr size_t kMaxOpen = 64;         // questions whose end nobody has looked at
  static constexpr size_t kMaxOfConnection = 8;

  explicit RecordDesk(shell::Driver& driver) : driver_(driver) {}  // outlives it
  void serve(shell::control::Server& server);
  void on_ended(const node::RecordEnded& e);
  void let_go_of(shell::control::ConnectionId owner);  // its questions are dropped; what was put stays

 private:
  struct Open {
    shell::control::ConnectionId owner;
    std::optional<node::RecordOutcome> outcome;
  };
  Result<nlohmann::json> put(const shell::control::Request& r);
  Result<nlohmann::json> get(const shell::control::Request& r);
  Result<nlohmann::json> look(const shell::control::Request& r);
  Result<void> check_room(shell::control::ConnectionId owner) const;

  shell::Driver& driver_;
  std::map<node::RecordTicket, Open> open_;
};

}  // namespace macrovpn::app
