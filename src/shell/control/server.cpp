#include "shell/control/server.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

std::string text_of(const json& j) {
  return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

json result_of(const json& id, json result) {
  return {{"jsonrpc", "2.0"}, {"id", id}, {"result", std::move(result)}};
}
json error_of(const json& id, Code code, const std::string& message) {
  return {
      {"jsonrpc", "2.0"}, {"id", id}, {"error", {{"code", static_cast<int>(code)}, {"message", message}}}};
}

bool is_request(const json& j) {
  if (!j.is_object() || j.value("jsonrpc", json()) != "2.0" || !j.contains("method") ||
      !j["method"].is_string())
    return false;
  if (j.contains("id") && !j["id"].is_number_integer() && !j["id"].is_string()) return false;
  return !j.contains("params") || j["params"].is_object();
}

// JSON is copied and written by recursion: a line of opening brackets would cost the daemon its stack.
bool is_shallow(std::string_view line) {
  constexpr int kMostNesting = 32;
  int depth = 0;
  bool in_text = false;
  for (size_t i = 0; i < line.size(); i++) {
    const char c = line[i];
    if (in_text) {
      if (c == '\\') i++;
      in_text = c != '"';
    } else if (c == '"') {
      in_text = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMostNesting) return false;
    } else if (c == ']' || c == '}') {
      depth--;
    }
  }
  return true;
}

Result<Fd> bind_socket(const std::string& path) {
  TRY(const SocketName at, SocketName::of(path));
  Fd s(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const mode_t mask = umask(0177);
  const bool bound = s && bind(s.get(), at.address(), at.size) == 0;
  const int error = errno;
  umask(mask);
  if (!bound || ::listen(s.get(), kMaxConnections) != 0)
    return fail("cannot make the control socket " + path + ": " + std::strerror(bound ? errno : error));
  return s;
}

}  // namespace

Result<Fd> lock_daemon(const std::string& socket_path, Duration patience) {
  const std::string path = socket_path + ".lock";
  Fd lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return fail("cannot make " + path + ": " + std::strerror(errno) + "; check who owns the folder");
  const Mono until = read_clocks().mono + patience;
  while (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (access(socket_path.c_str(), F_OK) == 0)
      return fail(
          "a macrovpn daemon runs already; stop it first, or give this one a folder of its own with --state "
          "DIR");
    if (read_clocks().mono >= until)
      return fail("another macrovpn daemon has been starting or ending for seconds; look again with `macrovpn status`");
    usleep(5'000);
  }
  unlink(socket_path.c_str());  // whoever made it is dead
  return lock;
}

Result<std::unique_ptr<Server>> Server::listen(Reactor& reactor, const std::string& path) {
  TRY(Fd socket, bind_socket(path));
  return std::unique_ptr<Server>(new Server(reactor, std::move(socket), path));
}

Result<std::unique_ptr<Server>> Server::listen_to_all(Reactor& reactor, const std::string& name) {
  TRY(const SocketName at, SocketName::of("@" + name));
  Fd s(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!s || bind(s.get(), at.address(), at.size) != 0 || ::listen(s.get(), kMaxConnections) != 0)
    return fail(std::string("programs of other users cannot be let in: ") + std::strerror(errno));
  std::unique_ptr<Server> server(new Server(reactor, std::move(s), {}));
  server->admits_ = Admits::everybody;
  return server;
}

Server::Server(Reactor& reactor, Fd socket, std::string path)
    : reactor_(reactor), socket_(std::move(socket)), path_(std::move(path)) {
  reactor_.add(socket_.get(), EPOLLIN, [this](uint32_t) { accept_all(); });
}

Server::~Server() {
  for (const auto& [id, client] : clients_) reactor_.remove(client->connection.fd());
  reactor_.remove(socket_.get());
  if (!path_.empty()) unlink(path_.c_str());
}

void Server::on(const std::string& method, Handler handler) {
  handlers_[method] = std::move(handler);
}

void Server::accept_all() {
  for (;;) {
    Fd fd(accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    if (clients_.size() < kMaxConnections) admit(std::move(fd));
  }
}

void Server::admit(Fd fd) {
  auto client = std::make_unique<Client>(std::move(fd));
  const auto uid = client->connection.peer_uid();
  if (!uid || (admits_ == Admits::us_and_root && *uid != geteuid() && *uid != 0)) return;
  const ConnectionId id{admits_ == Admits::everybody ? next_of_doors_++ : next_id_++};
  reactor_.add(client->connection.fd(), EPOLLIN, [this, id](uint32_t events) { on_ready(id, events); });
  clients_.emplace(id, std::move(client));
}

void Server::on_ready(ConnectionId id, uint32_t events) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  Client& c = *it->second;
  if ((events & EPOLLOUT) != 0) {
    const auto sent = c.connection.flush();
    if (sent == Connection::Status::closed) return close(id);
    if (sent == Connection::Status::open) reactor_.modify(c.connection.fd(), EPOLLIN);
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  const auto got = c.connection.receive();
  if (got == Connection::Status::nothing) return;
  if (got == Connection::Status::abused) {
    send(id, c,
         error_of(nullptr, Code::invalid_request, "the request is too long, or has too many descriptors"));
    return close(id);
  }
  take_lines(id, c);
  if (got == Connection::Status::closed) close(id);
}

void Server::take_lines(ConnectionId id, Client& c) {
  while (auto line = c.connection.next_line()) {
    answer(id, c, *line);
    if (!clients_.contains(id)) return;  // closed because it does not read
  }
}

void Server::answer(ConnectionId id, Client& c, const std::string& line) {
  if (!is_shallow(line))
    return send(id, c, error_of(nullptr, Code::parse_error, "the request is nested too deeply"));
  const json request = json::parse(line, nullptr, false);
  if (request.is_discarded()) {
    send(id, c, error_of(nullptr, Code::parse_error, "this is no JSON"));
  } else if (!is_request(request)) {
    send(id, c,
         error_of(nullptr, Code::invalid_request, "this is no JSON-RPC 2.0 request with named parameters"));
  } else {
    const json reply = dispatch(id, c, request);
    if (request.contains("id") && clients_.contains(id)) send(id, c, reply);
  }
  // Who does not begin with a good hello is no command of ours: perhaps a request of HTTP, made by a web page, with a line further
  // down that would be a command.
  if (clients_.contains(id) && !c.said_hello) close(id);
}

json Server::dispatch(ConnectionId from, Client& c, const json& request) {
  const json id = request.value("id", json());
  const json params = request.value("params", json::object());
  const std::string method = request["method"];
  try {
    if (method == "hello") return hello(c, id, params);
    if (!c.said_hello)
      return error_of(id, Code::hello_first, "say hello first, with the version of the protocol");
    const auto handler = handlers_.find(method);
    if (handler == handlers_.end())
      return error_of(id, Code::unknown_method,
                      "the daemon does not know '" + method + "'; it may be of another release: restart it");
    Request r{from, params, c.connection};
    Result<json> result = handler->second(r);
    return result ? result_of(id, std::move(*result)) : error_of(id, Code::refused, result.error().message);
  } catch (const json::exception&) {
    return error_of(id, Code::invalid_params, "'" + method + "' got parameters that it does not understand");
  }
}

json Server::hello(Client& c, const json& id, const json& params) {
  if (params.at("version") != kVersion)
    return error_of(id, Code::wrong_version,
                    "the daemon speaks another version of the control protocol; restart it after an update");
  c.said_hello = true;
  c.wants_events = params.value("events", false);
  return result_of(id, {{"version", kVersion}, {"program", "macrovpn"}, {"release", release()}});
}

void Server::send(ConnectionId id, Client& c, const json& message) {
  if (!c.connection.queue(text_of(message))) return close(id);
  const auto sent = c.connection.flush();
  if (sent == Connection::Status::nothing) reactor_.modify(c.connection.fd(), EPOLLIN | EPOLLOUT);
  // Closed by its reader: epoll tells, and what it sent before is still to be taken.
}

void Server::push(ConnectionId id, std::string_view event, const json& params) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  send(id, *it->second, {{"jsonrpc", "2.0"}, {"method", event}, {"params", params}});
}

void Server::broadcast(std::string_view event, const json& params) {
  std::vector<ConnectionId> listeners;  // sending may close, and so change clients_
  for (const auto& [id, client] : clients_) {
    if (client->wants_events) listeners.push_back(id);
  }
  for (const ConnectionId id : listeners) push(id, event, params);
}

void Server::close(ConnectionId id) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  // Its own handler may be on the stack: it lives until the end of the round.
  std::shared_ptr<Client> last = std::move(it->second);
  clients_.erase(it);
  reactor_.remove(last->connection.fd());
  reactor_.after(Duration::zero(), [last] {});
  if (disconnected_) disconnected_(id);
}

}  // namespace macrovpn::shell::control
