#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "shell/control/client.h"
#include "shell/control/server.h"
#include "shell/control/socket_name.h"

namespace macrovpn::shell::control {
namespace {

using nlohmann::json;

// A server in a thread of its own, with a few methods.
class Control : public ::testing::Test {
 protected:
  Control() {
    char name[] = "/tmp/mv-control-XXXXXX";
    dir_ = mkdtemp(name);
    socket_ = dir_ + "/control.sock";
    auto listening = Server::listen(reactor_, socket_);
    MV_ASSERT(listening.ok());
    server_ = std::move(*listening);
    add_methods();
    thread_ = std::thread([this] {
      while (!stop_) reactor_.run_once(20ms);
    });
  }
  ~Control() override {
    stop_ = true;
    thread_.join();
    server_.reset();
    std::filesystem::remove_all(dir_);
  }
  void add_methods() {
    server_->on("echo", [](Request& r) -> Result<json> { return r.params; });
    server_->on("fail",
                [](Request&) -> Result<json> { return fail("that cannot be done; do something else"); });
    server_->on("picky", [](Request& r) -> Result<json> { return json(r.params.at("n").get<int>()); });
    server_->on("attach", [](Request& r) -> Result<json> {
      const Fd fd = r.take_fd();
      if (!fd) return fail("no descriptor came");
      return json{{"written", write(fd.get(), "hi", 2)}};
    });
    server_->on("shout", [this](Request&) -> Result<json> {
      server_->broadcast("state", {{"state", "connected"}});
      return json::object();
    });
    server_->on_disconnect([this](ConnectionId) { gone_++; });
  }
  // A connection without manners.
  Fd raw() const {
    Fd s(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un a{};
    a.sun_family = AF_UNIX;
    std::copy(socket_.begin(), socket_.end(), a.sun_path);
    const timeval timeout{5, 0};
    setsockopt(s.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    EXPECT_EQ(connect(s.get(), reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
    return s;
  }
  // What comes back for some bytes: one line, or "" at end of stream.
  static std::string ask(const Fd& s, const std::string& bytes) {
    static_cast<void>(send(s.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
    std::string line;
    char c;
    while (recv(s.get(), &c, 1, 0) == 1 && c != '\n') line += c;
    return line;
  }
  static int code_of(const std::string& line) { return json::parse(line).at("error").at("code"); }

  std::string dir_, socket_;
  Reactor reactor_;
  std::unique_ptr<Server> server_;
  std::atomic<bool> stop_ = false;
  std::atomic<int> gone_ = 0;
  std::thread thread_;
};

const std::string kHello = R"({"jsonrpc":"2.0","id":1,"method":"hello","params":{"version":1}})"
                           "\n";

TEST_F(Control, AnswersAfterHello) {
  auto c = Client::connect(socket_);
  ASSERT_TRUE(c) << c.error().error.message;
  EXPECT_EQ(*c->call("echo", {{"a", 1}}), json({{"a", 1}}));
  EXPECT_EQ(*c->call("echo"), json::object());
  EXPECT_EQ(c->call("fail").error().message, "that cannot be done; do something else");
  EXPECT_NE(c->call("nothing").error().message.find("does not know"), std::string::npos);
  EXPECT_FALSE(c->call("picky").ok()) << "a missing parameter";
  EXPECT_FALSE(c->call("picky", {{"n", "x"}}).ok()) << "or a wrong one";
  EXPECT_EQ(*c->call("picky", {{"n", 5}}), 5);
}

TEST_F(Control, PassesADescriptor) {
  auto c = Client::connect(socket_);
  ASSERT_TRUE(c);
  int p[2];
  ASSERT_EQ(pipe2(p, O_CLOEXEC), 0);
  const Fd in(p[0]), out(p[1]);
  EXPECT_EQ(c->call("attach", {{"group", "x"}}, out.get())->at("written"), 2);
  char got[3]{};
  EXPECT_EQ(read(in.get(), got, 2), 2);
  EXPECT_STREQ(got, "hi");
  EXPECT_FALSE(c->call("attach").ok());
}

TEST_F(Control, PushesEventsToThoseWhoAsked) {
  auto listener = Client::connect(socket_, Client::Events::wanted);
  auto other = Client::connect(socket_);
  ASSERT_TRUE(listener && other);
  ASSERT_TRUE(other->call("shout").ok());
  std::string heard;
  EXPECT_EQ(listener->take_events([&](const std::string& event, const json& p) { heard = event + p.dump(); }),
            Client::Alive::yes);
  EXPECT_EQ(heard, R"(state{"state":"connected"})");
  EXPECT_TRUE(other->call("echo").ok()) << "nothing but answers came to the other";
}

TEST_F(Control, WantsHelloFirstAndTheRightVersionElseItHangsUp) {
  const std::pair<const char*, Code> wrong[] = {
      {R"({"jsonrpc":"2.0","id":1,"method":"echo"})", Code::hello_first},
      {R"({"jsonrpc":"2.0","id":1,"method":"hello","params":{"version":2}})", Code::wrong_version},
      {R"({"jsonrpc":"2.0","id":1,"method":"hello"})", Code::invalid_params},
      {"POST / HTTP/1.1\r", Code::parse_error},
      {"{}", Code::invalid_request}};
  for (const auto& [line, code] : wrong) {
    const Fd s = raw();
    // The lines behind it are good ones, as in the body of a request of HTTP.
    const std::string said = ask(s, std::string(line) + "\n" + kHello + R"({"jsonrpc":"2.0","id":2,"method":"echo"})" + "\n");
    EXPECT_EQ(code_of(said), static_cast<int>(code)) << line;
    char rest[1];
    EXPECT_EQ(read(s.get(), rest, 1), 0) << "not hung up after " << line;
  }
  EXPECT_EQ(json::parse(ask(raw(), kHello))["result"]["version"], 1);
}

TEST_F(Control, RefusesWhatIsNoRequestAndGoesOn) {
  const Fd s = raw();
  ask(s, kHello);
  for (const char* junk : {"", "{", "nonsense", "\xff\xfe", "{}{}"})
    EXPECT_EQ(code_of(ask(s, std::string(junk) + "\n")), static_cast<int>(Code::parse_error)) << junk;
  for (const char* wrong :
       {"1", "[]", "{}", R"({"jsonrpc":"1.0","id":1,"method":"echo"})",
        R"({"jsonrpc":"2.0","id":1,"method":5})", R"({"jsonrpc":"2.0","id":{},"method":"echo"})",
        R"({"jsonrpc":"2.0","id":1,"method":"echo","params":[1]})",
        R"([{"jsonrpc":"2.0","id":1,"method":"echo"}])"})
    EXPECT_EQ(code_of(ask(s, std::string(wrong) + "\n")), static_cast<int>(Code::invalid_request)) << wrong;
  EXPECT_EQ(code_of(ask(s, std::string(20'000, '[') + "\n")), static_cast<int>(Code::parse_error))
      << "deep nesting";
  EXPECT_EQ(json::parse(ask(s, R"({"jsonrpc":"2.0","id":"a","method":"echo"})"
                               "\n"))["id"],
            "a");
}

TEST_F(Control, TakesALineOfTheLargestSizeAndNoLonger) {
  const auto with_padding = [](size_t line) {
    const std::string head = R"({"jsonrpc":"2.0","id":1,"method":"echo","params":{"p":")", tail = "\"}}";
    return head + std::string(line - head.size() - tail.size(), 'x') + tail;
  };
  const Fd s = raw();
  ask(s, kHello);
  EXPECT_TRUE(json::parse(ask(s, with_padding(kMaxLine) + "\n")).contains("result"));
  std::string line = with_padding(kMaxLine + 32 * 1024);
  EXPECT_EQ(code_of(ask(s, line)), static_cast<int>(Code::invalid_request));
  EXPECT_EQ(ask(s, ""), "") << "and closes";
}

// Copying and writing JSON recurses: brackets without end would end the daemon.
TEST_F(Control, RefusesWhatIsNestedDeeplyAndGoesOn) {
  const Fd s = raw();
  ask(s, kHello);
  const std::string start = R"({"jsonrpc":"2.0","id":2,"method":"echo","params":{"a":)";
  const auto nested = [&](size_t n) { return start + std::string(n, '[') + std::string(n, ']') + "}}\n"; };
  EXPECT_EQ(code_of(ask(s, nested(30'000))), -32700);
  EXPECT_EQ(code_of(ask(s, start + std::string(40'000, '[') + "\n")), -32700);
  EXPECT_EQ(json::parse(ask(s, nested(20))).count("result"), 1u);
  const std::string text = start + "\"" + std::string(1000, '{') + "\\\"" + std::string(1000, '[') + "\"}}\n";
  EXPECT_EQ(json::parse(ask(s, text)).count("result"), 1u) << "brackets in a text are no nesting";
}

TEST_F(Control, ClosesAConnectionThatPilesUpDescriptors) {
  const Fd s = raw();
  ask(s, kHello);
  Connection c{Fd(dup(s.get()))};
  for (size_t i = 0; i <= kMaxPendingFds; i++)
    static_cast<void>(c.send_line(R"({"jsonrpc":"2.0","method":"echo"})", s.get()).ok());
  EXPECT_EQ(code_of(ask(s, "")), static_cast<int>(Code::invalid_request));
}

TEST_F(Control, ClosesAConnectionThatDoesNotRead) {
  const Fd s = raw();
  ask(s, kHello);
  const std::string request =
      R"({"jsonrpc":"2.0","id":1,"method":"echo","params":{"p":")" + std::string(50'000, 'x') + "\"}}\n";
  bool closed = false;
  for (int i = 0; i < 200 && !closed; i++)
    closed = send(s.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0;
  EXPECT_TRUE(closed);
}

TEST_F(Control, TakesNoMoreConnectionsThanItsBound) {
  std::vector<Client> clients;
  for (size_t i = 0; i < kMaxConnections; i++) {
    auto c = Client::connect(socket_);
    ASSERT_TRUE(c) << i;
    clients.push_back(std::move(*c));
  }
  EXPECT_FALSE(Client::connect(socket_).ok());
  clients.pop_back();
  while (gone_ == 0) std::this_thread::yield();
  EXPECT_TRUE(Client::connect(socket_).ok());
}

// A daemon that was stopped has a socket that takes callers, and says nothing.
TEST(Patience, IsToldOfAndEndsWithAWayOut) {
  char folder[] = "/tmp/mv-control-XXXXXX";
  const std::string path = std::string(mkdtemp(folder)) + "/control.sock";
  const Fd silent(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), a.sun_path);
  ASSERT_EQ(bind(silent.get(), reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
  ASSERT_EQ(listen(silent.get(), 1), 0);
  int told = 0;
  const auto c = Client::connect(path, Client::Events::none, {.longest = 60ms, .slow = 10ms, .on_slow = [&] { told++; }});
  ASSERT_FALSE(c.ok());
  EXPECT_EQ(told, 1);
  EXPECT_NE(c.error().error.message.find("stopped or stuck"), std::string::npos);
  EXPECT_NE(c.error().error.message.find("kill -CONT " + std::to_string(getpid()) + "`"), std::string::npos);
  std::filesystem::remove_all(folder);
}

TEST_F(Control, ADaemonIsTheOnlyOneAndReplacesTheSocketOfADeadOne) {
  const std::string path = dir_ + "/second.sock";
  const pid_t child = fork();
  if (child == 0) {
    Reactor own;
    const auto only = lock_daemon(path);
    auto s = Server::listen(own, path);
    kill(getpid(), SIGKILL);
  }
  waitpid(child, nullptr, 0);
  ASSERT_TRUE(std::filesystem::exists(path));
  EXPECT_EQ(Client::connect(path).error().why, NoDaemon::Why::not_running);
  Reactor r;
  const auto only = lock_daemon(path);
  ASSERT_TRUE(only.ok());
  {
    const auto server = Server::listen(r, path);
    ASSERT_TRUE(server.ok());
    EXPECT_NE(lock_daemon(path).error().message.find("runs already"), std::string::npos);
  }
  EXPECT_FALSE(std::filesystem::exists(path)) << "removed when it ends";
}

// What holds the lock without a socket is on its way in or out.
TEST_F(Control, ADaemonWaitsForOneThatEnds) {
  const std::string path = dir_ + "/second.sock";
  auto ending = lock_daemon(path);
  ASSERT_TRUE(ending.ok());
  EXPECT_NE(lock_daemon(path, std::chrono::milliseconds(20)).error().message.find("starting or ending"), std::string::npos);
  std::jthread end([&] {
    usleep(50'000);
    ending = Fd();
  });
  EXPECT_TRUE(lock_daemon(path).ok());
}

TEST_F(Control, TheSocketIsForItsOwnerOnly) {
  struct stat s;
  ASSERT_EQ(stat(socket_.c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0600u);
}

// What one door's connection has attached is never taken for another's.
TEST(Door, NumbersItsConnectionsOnFromThoseOfTheDoorBefore) {
  const std::string name = "mv-door-" + std::to_string(getpid());
  std::vector<ConnectionId> seen;
  for (int n = 0; n < 2; n++) {
    Reactor reactor;
    auto door = Server::listen_to_all(reactor, name);
    ASSERT_TRUE(door.ok());
    (*door)->on_disconnect([&](ConnectionId id) { seen.push_back(id); });
    const Fd s(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto at = SocketName::of("@" + name);
    ASSERT_EQ(connect(s.get(), at->address(), at->size), 0);
    shutdown(s.get(), SHUT_WR);
    for (int round = 0; round < 100 && seen.size() == static_cast<size_t>(n); round++) reactor.run_once(20ms);
  }
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_NE(seen[0], seen[1]);
  EXPECT_TRUE(Server::came_through_a_door(seen[0]) && Server::came_through_a_door(seen[1]));
  EXPECT_FALSE(Server::came_through_a_door(ConnectionId{0}));
}

TEST(ControlClient, SaysWhenNobodyIsThere) {
  const auto c = Client::connect("/tmp/mv-no-such-folder/control.sock");
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().why, NoDaemon::Why::not_running);
  EXPECT_EQ(c.error().error.message, "no macrovpn daemon is running; start one with `macrovpn daemon`");
}

// In a child with another uid; the folder and socket are opened up, so that only the check of credentials is
// left.
int talk_as_a_stranger(const std::string& socket) {
  if (setgid(12345) != 0 || setuid(12345) != 0) return 1;
  if (Client::connect(socket)) return 2;  // it trusts a daemon of root, which refuses it
  const Fd s(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  std::copy(socket.begin(), socket.end(), a.sun_path);
  if (connect(s.get(), reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) return 3;
  static_cast<void>(send(s.get(), kHello.data(), kHello.size(), MSG_NOSIGNAL));
  char c2;
  return recv(s.get(), &c2, 1, 0) <= 0 ? 0 : 4;
}

TEST_F(Control, ServesNoOtherUser) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  chmod(dir_.c_str(), 0755);
  chmod(socket_.c_str(), 0666);
  const pid_t child = fork();
  if (child == 0) _exit(talk_as_a_stranger(socket_));
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(ControlSchema, DescribesTheMethods) {
  std::ifstream file(MACROVPN_CONTROL_SCHEMA);
  const json schema = json::parse(file);
  EXPECT_EQ(schema.at("version"), kVersion);
  for (const char* method : {"hello", "status", "hop", "attach", "detach", "descriptor.reload", "directory.accept",
                             "device.add", "device.list", "device.remove", "stop"}) {
    const json& m = schema.at("methods").at(method);
    EXPECT_TRUE(m.contains("description") && m.contains("params") && m.contains("result")) << method;
  }
}

}  // namespace
}  // namespace macrovpn::shell::control
