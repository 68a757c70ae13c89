#include "shell/control/client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "shell/clock.h"
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
    case EAGAIN:
      return no_daemon(Why::failed,
                       "the macrovpn daemon takes no more commands: it is stopped or stuck; end it, then do this again");
    default:
      return no_daemon(Why::failed, std::string("cannot reach the macrovpn daemon: ") + std::strerror(error));
  }
}

timeval timeval_of(Duration d) {
  const auto us = std::max<int64_t>(std::chrono::ceil<std::chrono::microseconds>(d).count(), 1);  // 0 is for ever
  return {static_cast<time_t>(us / 1'000'000), static_cast<suseconds_t>(us % 1'000'000)};
}

std::string no_answer(const Connection& c) {
  const std::string pid = std::to_string(c.peer_pid().value_or(0));
  if (pid == "0")
    return "the macrovpn daemon gives no answer: it is stopped or stuck; end it, then do this again";
  return "the macrovpn daemon gives no answer: it is stopped or stuck; let it go on with `kill -CONT " + pid +
         "`, or end it with `kill -9 " + pid + "` and do this again";
}

Result<Fd, NoDaemon> open_socket(const std::string& path, Duration longest) {
  const auto at = SocketName::of(path);
  if (!at) return connect_error(ENAMETOOLONG);
  Fd s(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval timeout = timeval_of(longest);
  if (!s || setsockopt(s.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) != 0 ||
      ::connect(s.get(), at->address(), at->size) != 0) {
    return connect_error(errno);
  }
  return s;
}

}  // namespace

Result<Client, NoDaemon> Client::connect(const std::string& path, Events events, Patience patience) {
  TRY(Fd socket, dial(path, patience.longest));
  return greet(std::move(socket), events, std::move(patience));
}

Result<Fd, NoDaemon> Client::dial(const std::string& path, Duration longest) {
  TRY(Fd socket, open_socket(path, longest));
  const auto uid = peer_uid_of(socket);
  // A socket in /tmp could be anybody's: never give a stranger's daemon our device.
  if (!uid || (*uid != geteuid() && *uid != 0)) return connect_error(EACCES);
  return socket;
}

Result<Client, NoDaemon> Client::greet(Fd connected, Events events, Patience patience) {
  const timeval look_up = timeval_of(std::min(patience.slow, patience.longest));
  setsockopt(connected.get(), SOL_SOCKET, SO_RCVTIMEO, &look_up, sizeof look_up);
  Client c(std::move(connected), std::move(patience));
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
  const Mono asked = read_clocks().mono;
  bool told = false;
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
      case Connection::Status::nothing: {
        const Duration waited = read_clocks().mono - asked;
        if (waited >= patience_.longest) return fail(no_answer(*connection_));
        if (waited >= patience_.slow && !std::exchange(told, true) && patience_.on_slow) patience_.on_slow();
        break;
      }
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
