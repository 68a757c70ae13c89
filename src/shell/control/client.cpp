#include "shell/control/client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "shell/control/socket_name.h"

namespace macrovpn::shell::control {
namespace {

using nlohmann::json;
using Why = NoDaemon::Why;

Failure<NoDaemon> no_daemon(Why why, std::string sentence) {
  return {NoDaemon{why, {std::move(sentence)}}};
}

Failure<NoDaemon> connect_error(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED:
      return no_daemon(Why::not_running, "no macrovpn daemon is running; start one with `macrovpn daemon`");
    case EACCES:
    case EPERM:
      return no_daemon(Why::not_ours,
                       "the macrovpn daemon here belongs to another user; run your own with --state DIR");
    default:
      return no_daemon(Why::failed, std::string("cannot reach the macrovpn daemon: ") + std::strerror(error));
  }
}

Result<Fd, NoDaemon> open_socket(const std::string& path) {
  const auto at = SocketName::of(path);
  if (!at) return connect_error(ENAMETOOLONG);
  Fd s(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval timeout{std::chrono::duration_cast<std::chrono::seconds>(kAnswerTimeout).count(), 0};
  if (!s || setsockopt(s.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0 ||
      setsockopt(s.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) != 0 ||
      ::connect(s.get(), at->address(), at->size) != 0) {
    return connect_error(errno);
  }
  return s;
}

}  // namespace

Result<Client, NoDaemon> Client::connect(const std::string& path, Events events) {
  TRY(Fd socket, dial(path));
  return greet(std::move(socket), events);
}

Result<Fd, NoDaemon> Client::dial(const std::string& path) {
  TRY(Fd socket, open_socket(path));
  const auto uid = peer_uid_of(socket);
  // A socket in /tmp could be anybody's: never give a stranger's daemon our device.
  if (!uid || (*uid != geteuid() && *uid != 0)) return connect_error(EACCES);
  return socket;
}

Result<Client, NoDaemon> Client::greet(Fd connected, Events events) {
  Client c(std::move(connected));
  const auto hello = c.call("hello", {{"version", kVersion}, {"events", events == Events::wanted}});
  if (!hello) return no_daemon(Why::incompatible, hello.error().message);
  if (!hello->is_object() || hello->value("version", json()) != kVersion)
    return no_daemon(Why::incompatible,
                     "the daemon speaks another version of the control protocol; restart it after an update");
  return c;
}

Result<json> Client::call(const std::string& method, const json& params, int fd) {
  const int id = next_id_++;
  const json request{{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}};
  TRY_VOID(connection_->send_line(request.dump(-1, ' ', false, json::error_handler_t::replace), fd));
  return await_answer(id);
}

Result<json> Client::call(const std::string& method) {
  return call(method, json::object());
}

Result<json> Client::await_answer(int id) {
  for (;;) {
    while (auto line = connection_->next_line()) {
      const json message = json::parse(*line, nullptr, false);
      if (!message.is_object() || !message.contains("id")) continue;  // an event
      if (message.contains("error")) {
        const json text = message["error"].is_object() ? message["error"].value("message", json()) : json();
        return fail(text.is_string() ? text.get<std::string>()
                                     : "the macrovpn daemon refused without a reason");
      }
      if (message["id"] == id && message.contains("result")) return message["result"];
    }
    switch (connection_->receive()) {
      case Connection::Status::open:
        break;
      case Connection::Status::nothing:
        return fail("the macrovpn daemon does not answer; restart it");
      default:
        return fail("the macrovpn daemon ended before it answered; start it again with `macrovpn daemon`");
    }
  }
}

Client::Alive Client::take_events(const std::function<void(const std::string&, const json&)>& f) {
  const auto got = connection_->receive();
  while (auto line = connection_->next_line()) {
    const json message = json::parse(*line, nullptr, false);
    if (message.is_object() && message.value("method", json()).is_string())
      f(message["method"], message.value("params", json::object()));
  }
  return got == Connection::Status::open || got == Connection::Status::nothing ? Alive::yes : Alive::gone;
}

}  // namespace macrovpn::shell::control
