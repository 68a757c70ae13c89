// The proxy on loopback: its programs, its resolver and the sites are sockets of this test, in one reactor.
#include "shell/proxy/proxy.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <set>

#include "shell/clock.h"
#include "shell/exit/socket_address.h"

namespace macrovpn::shell {
namespace {

Endpoint at(std::string_view text) {
  return *parse_listen_address(text);
}
std::string bytes_of(std::initializer_list<int> list) {
  std::string out;
  for (const int b : list) out.push_back(static_cast<char>(b));
  return out;
}

// A socket whose bytes are collected as the reactor runs.
struct Wire {
  Wire(Reactor& r, Fd s) : reactor(r), fd(std::move(s)) {
    reactor.add(fd.get(), EPOLLIN, [this](uint32_t) {
      char buffer[65536];
      const ssize_t n = recv(fd.get(), buffer, sizeof buffer, 0);
      if (n > 0) return static_cast<void>(got.append(buffer, static_cast<size_t>(n)));
      reactor.remove(fd.get());
      ended = true;
      was_reset = n < 0;
    });
  }
  ~Wire() {
    if (!ended) reactor.remove(fd.get());
  }
  void say(std::string_view text) {
    ASSERT_EQ(send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL), ssize_t(text.size()));
  }
  Reactor& reactor;
  Fd fd;
  std::string got;
  bool ended = false, was_reset = false;
};

class ProxyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto owner = PeerOwner::open();
    if (!owner) GTEST_SKIP() << owner.error().message;
    context = std::make_unique<ProxyContext>(
        ProxyContext{{reactor, rng}, std::move(*owner), [](const IpAddress& ip) {
                       Fd s = open_socket(AF_INET, SOCK_DGRAM);
                       const SocketAddress a({ip, 0});
                       EXPECT_EQ(bind(s.get(), a.data(), a.size), 0);
                       return Result<Fd>(std::move(s));
                     }});
    context->outbound.sources = [](GroupSlot s) {
      return GroupAddresses{IpAddress::v4(0x7f000a00u + s.value), *IpAddress::parse("::1")};
    };
    context->outbound.is_forbidden = [](const IpAddress& a) { return a == IpAddress::parse("127.9.9.9"); };
    context->limits.sweep_every = 1ms;
    start();
  }
  void start() {
    proxy.reset();
    auto listener = listen_on_loopback(at("127.0.0.1:0"));
    ASSERT_TRUE(listener.ok()) << listener.error().message;
    port = *local_of(listener->get());
    std::vector<Fd> listeners;
    listeners.push_back(std::move(*listener));
    proxy = std::make_unique<Proxy>(*context, std::move(listeners));
  }

  // Runs the reactor until it is so; false after two seconds.
  template <class F>
  bool until(F condition) {
    for (int i = 0; i < 2000 && !condition(); i++) reactor.run_once(1ms);
    return condition();
  }
  Fd connect_to(const Endpoint& e) {
    Fd s(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const SocketAddress a(e);
    EXPECT_EQ(connect(s.get(), a.data(), a.size), 0);
    return s;
  }
  std::unique_ptr<Wire> program() { return std::make_unique<Wire>(reactor, connect_to(port)); }
  std::unique_ptr<Wire> socks(std::string_view user = "") {
    auto w = program();
    if (user.empty()) {
      w->say(bytes_of({5, 1, 0}));
    } else {
      w->say(bytes_of({5, 2, 0, 2, 1, static_cast<int>(user.size())}) + std::string(user) +
             bytes_of({1, 'x'}));
    }
    EXPECT_TRUE(until([&] { return w->got == (user.empty() ? bytes_of({5, 0}) : bytes_of({5, 2, 1, 0})); }));
    w->got.clear();
    return w;
  }
  static std::string request(const Endpoint& e, int command = 1) {
    std::string s = bytes_of({5, command, 0, 1});
    s.append(reinterpret_cast<const char*>(e.address.bytes().data()), 4);
    return s + bytes_of({e.port >> 8, e.port & 255});
  }
  static std::string request(std::string_view name, uint16_t port) {
    return bytes_of({5, 1, 0, 3, static_cast<int>(name.size())}) + std::string(name) +
           bytes_of({port >> 8, port & 255});
  }
  int code(Wire& w, std::string_view asked) {
    w.say(asked);
    EXPECT_TRUE(until([&] { return w.got.size() >= 10 || w.ended; }));
    const int c = w.got.size() >= 10 ? w.got[1] : -1;
    w.got.erase(0, std::min<size_t>(w.got.size(), 10));
    return c;
  }

  OsRng rng;
  Reactor reactor;
  std::unique_ptr<ProxyContext> context;
  std::unique_ptr<Proxy> proxy;
  Endpoint port;
};

// A site: keeps what connects.
struct Site {
  explicit Site(Reactor& r, const char* address = "127.0.0.1:0") : reactor(r) {
    listener = open_socket(AF_INET, SOCK_STREAM);
    const SocketAddress a(at(address));
    EXPECT_EQ(bind(listener.get(), a.data(), a.size), 0);
    EXPECT_EQ(listen(listener.get(), 16), 0);
    here = *local_of(listener.get());
    reactor.add(listener.get(), EPOLLIN, [this](uint32_t) {
      Fd s(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      peers.push_back(peer_of(s.get())->address);
      wires.push_back(std::make_unique<Wire>(reactor, std::move(s)));
    });
  }
  ~Site() { reactor.remove(listener.get()); }
  Reactor& reactor;
  Fd listener;
  Endpoint here;
  std::vector<IpAddress> peers;
  std::vector<std::unique_ptr<Wire>> wires;
};

TEST_F(ProxyTest, JoinsAProgramWithASite) {
  Site site(reactor);
  auto w = socks();
  ASSERT_EQ(code(*w, request(site.here)), 0);
  w->say("question");
  ASSERT_TRUE(until([&] { return site.wires.size() == 1 && site.wires[0]->got == "question"; }));
  shutdown(w->fd.get(), SHUT_WR);
  ASSERT_TRUE(until([&] { return site.wires[0]->ended; }));
  site.wires[0]->say("answer");
  ASSERT_TRUE(until([&] { return w->got == "answer"; })) << "half closed";
  site.wires.clear();
  ASSERT_TRUE(until([&] { return w->ended && proxy->connections() == 0; }));
}

TEST_F(ProxyTest, PassesOnWhatAProgramSaysTooEarly) {
  Site site(reactor);
  auto w = program();
  w->say(bytes_of({5, 1, 0}) + request(site.here) + "early");
  ASSERT_TRUE(until([&] { return site.wires.size() == 1 && site.wires[0]->got == "early"; }));
  EXPECT_EQ(w->got.substr(0, 4), bytes_of({5, 0, 5, 0}));
}

TEST_F(ProxyTest, SaysWhatWentWrong) {
  Endpoint closed;
  {
    const Site site(reactor);
    closed = site.here;
  }
  EXPECT_EQ(code(*socks(), request(closed)), 5);
  EXPECT_EQ(code(*socks(), request(at("127.9.9.9:80"))), 2);
  EXPECT_EQ(code(*socks(), request(closed, 2)), 7);
  context->is_up = [] { return false; };
  EXPECT_EQ(code(*socks(), request(closed)), 3);
  ASSERT_TRUE(until([&] { return proxy->connections() == 0; }));
  EXPECT_EQ(context->counters.failed[static_cast<size_t>(Outcome::refused)], 1u);
}

TEST_F(ProxyTest, GivesEachUserNameASourceAddressOfItsOwn) {
  Site site(reactor);
  for (const char* user : {"", "ann", "ben", "ann"}) {
    auto w = socks(user);
    ASSERT_EQ(code(*w, request(site.here)), 0);
  }
  const auto w = program();
  w->say("CONNECT " + site.here.reveal() + " HTTP/1.1\r\nProxy-Authorization: Basic YmVuOng=\r\n\r\n");
  ASSERT_TRUE(until([&] { return site.peers.size() == 5; }));
  std::string last;
  for (const IpAddress& a : site.peers) last += std::to_string(a.bytes()[3]);
  EXPECT_EQ(last, "01212");
}

TEST_F(ProxyTest, ForwardsOneHttpRequestAndNoSecond) {
  Site site(reactor);
  const std::string url = "http://" + site.here.reveal() + "/a";
  auto w = program();
  w->say("POST " + url + " HTTP/1.1\r\nProxy-Connection: keep-alive\r\nContent-Length: 4\r\n\r\nbo");
  ASSERT_TRUE(until([&] { return site.wires.size() == 1 && site.wires[0]->got.ends_with("bo"); }));
  w->say("dy");
  ASSERT_TRUE(until([&] { return site.wires[0]->got.ends_with("\r\nConnection: close\r\n\r\nbody"); }));
  EXPECT_EQ(site.wires[0]->got.find("Proxy"), std::string::npos);
  site.wires[0]->say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(until([&] { return w->got.starts_with("HTTP/1.1 200"); }));
  w->say("GET http://other.test/ HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(until([&] { return w->ended && proxy->connections() == 0; }));
  EXPECT_EQ(site.wires[0]->got.find("other.test"), std::string::npos);
}

TEST_F(ProxyTest, ResetsOthersBeforeReading) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to be two users";
  const pid_t pid = fork();
  if (pid == 0) {
    if (setresuid(12345, 12345, 12345) != 0) _exit(9);
    Fd s(socket(AF_INET, SOCK_STREAM, 0));
    const SocketAddress a(port);
    char byte;
    if (connect(s.get(), a.data(), a.size) != 0) _exit(2);
    static_cast<void>(send(s.get(), "\5\1\0", 3, MSG_NOSIGNAL));
    _exit(recv(s.get(), &byte, 1, 0) == 1 ? 1 : 0);
  }
  int status = 0;
  bool ended = false;
  if (!until([&] { return ended = ended || waitpid(pid, &status, WNOHANG) == pid; })) kill(pid, SIGKILL);
  ASSERT_TRUE(ended);
  ASSERT_TRUE(until([&] { return context->counters.accepted == 1; }));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "it got an answer";
  EXPECT_EQ(context->counters.not_ours, 1u);
  EXPECT_EQ(proxy->connections(), 0u);
}

TEST_F(ProxyTest, DoesNotTellOursFromAClosedOrAbsentSocket) {
  PeerOwner& owner = context->owner;
  Site site(reactor);
  Fd s = connect_to(site.here);
  const Endpoint from = *local_of(s.get());
  EXPECT_TRUE(owner.is_ours_tcp(from, site.here));
  EXPECT_FALSE(owner.is_ours_tcp({from.address, 1}, site.here));
  EXPECT_FALSE(owner.is_ours_tcp(from, {site.here.address, 1}));
  s.reset();
  EXPECT_FALSE(owner.is_ours_tcp(from, site.here)) << "its process has closed it";
}

TEST_F(ProxyTest, LetsTheOldestGoWhenTooManySayNothing) {
  context->limits.asking = 2;
  auto first = program(), second = program();
  ASSERT_TRUE(until([&] { return proxy->connections() == 2; }));
  auto third = program();
  ASSERT_TRUE(until([&] { return first->ended; }));
  EXPECT_TRUE(first->was_reset);
  EXPECT_FALSE(second->ended || third->ended);
  EXPECT_EQ(context->counters.evicted, 1u);
  context->limits.connections = 2;
  auto fourth = program();
  ASSERT_TRUE(until([&] { return fourth->ended; }));
  EXPECT_EQ(context->counters.full, 1u);
}

TEST_F(ProxyTest, EndsWhoTakesTooLongToSayWhatItWants) {
  auto w = program();
  w->say(bytes_of({5, 1}));
  ASSERT_TRUE(until([&] { return proxy->connections() == 1; }));
  context->limits.asking_time = 0s;
  EXPECT_TRUE(until([&] { return w->ended; }));
}

TEST_F(ProxyTest, HasALargestNumberOfGroups) {
  Site site(reactor);
  const Mono now = reactor.now().mono;
  for (size_t i = 0; i < kMaxNames; i++) ASSERT_TRUE(context->groups.join(now, "n" + std::to_string(i)));
  EXPECT_EQ(code(*socks("one more"), request(site.here)), 1);
  EXPECT_EQ(code(*socks("n7"), request(site.here)), 0);
}

// ---- names

// Knows one name, by IPv4; its answers by UDP may be cut short.
struct Resolver {
  explicit Resolver(Reactor& r) : reactor(r), tcp(r) {
    udp = open_socket(AF_INET, SOCK_DGRAM);
    const SocketAddress a(tcp.here);
    EXPECT_EQ(bind(udp.get(), a.data(), a.size), 0);
    reactor.add(udp.get(), EPOLLIN, [this](uint32_t) {
      uint8_t buffer[2048];
      SocketAddress from;
      const ssize_t n = recvfrom(udp.get(), buffer, sizeof buffer, 0, from.data(), &from.size);
      if (n <= 0) return;
      sources.insert(from.endpoint()->address);
      const auto out = answer({buffer, static_cast<size_t>(n)}, cut);
      sendto(udp.get(), out.data(), out.size(), 0, from.data(), from.size);
    });
  }
  ~Resolver() { reactor.remove(udp.get()); }
  std::vector<uint8_t> answer(Bytes question, bool truncated) {
    auto m = *routing::parse_dns(question);
    m.is_response = true;
    m.truncated = truncated;
    const bool known = m.question->name == *routing::DnsName::parse("site.test");
    if (!known) m.code = routing::DnsCode::name_error;
    if (known && !truncated && m.question->type == routing::kDnsA)
      m.section(routing::DnsSection::answer)
          .push_back({m.question->name, routing::kDnsA, 1, 60, {127, 0, 0, 1}});
    return encode_dns(m, SIZE_MAX);
  }
  // Answers what has come by TCP.
  void serve_tcp() {
    for (auto& w : tcp.wires) {
      if (w->got.size() < 2) continue;
      const auto out = answer(as_bytes(w->got).subspan(2), false);
      std::vector<uint8_t> framed;
      Writer(framed).be16(static_cast<uint16_t>(out.size())).bytes(out);
      w->say({reinterpret_cast<const char*>(framed.data()), framed.size()});
      w->got.clear();
    }
  }
  Reactor& reactor;
  Site tcp;
  Fd udp;
  bool cut = false;
  std::set<IpAddress> sources;
};

TEST_F(ProxyTest, LooksNamesUpFromTheGroupsOwnAddress) {
  Resolver resolver(reactor);
  context->outbound.resolver = resolver.tcp.here;
  Site site(reactor);
  EXPECT_EQ(code(*socks("ann"), request("site.test", site.here.port)), 0);
  EXPECT_EQ(resolver.sources, std::set<IpAddress>{*IpAddress::parse("127.0.10.1")});
  EXPECT_EQ(code(*socks(), request("other.test", site.here.port)), 4);
  EXPECT_EQ(resolver.sources.size(), 2u);
}

TEST_F(ProxyTest, AsksByTcpWhatDoesNotFit) {
  Resolver resolver(reactor);
  resolver.cut = true;
  context->outbound.resolver = resolver.tcp.here;
  Site site(reactor);
  auto w = socks();
  w->say(request("site.test", site.here.port));
  ASSERT_TRUE(until([&] {
    resolver.serve_tcp();
    return w->got.size() >= 10;
  }));
  EXPECT_EQ(w->got[1], 0);
  EXPECT_EQ(resolver.tcp.peers.size(), 2u) << "both families";
}

// ---- datagrams

TEST_F(ProxyTest, CarriesDatagramsOfTheFirstPortAlone) {
  auto w = socks();
  w->say(request(Endpoint{}, 3));
  ASSERT_TRUE(until([&] { return w->got.size() >= 10; }));
  ASSERT_EQ(w->got[1], 0);
  const Endpoint relay{*IpAddress::parse("127.0.0.1"),
                       load_be16(reinterpret_cast<const uint8_t*>(&w->got[8]))};
  const auto udp = [&] {
    Fd s = open_socket(AF_INET, SOCK_DGRAM);
    const SocketAddress a(at("127.0.0.1:0"));
    EXPECT_EQ(bind(s.get(), a.data(), a.size), 0);
    return s;
  };
  const Fd site = udp(), ours = udp(), stranger = udp();
  std::vector<uint8_t> d;
  write_socks_datagram_header(*local_of(site.get()), d);
  d.push_back('x');
  const SocketAddress to(relay);
  const auto say = [&](const Fd& s) {
    ASSERT_GT(sendto(s.get(), d.data(), d.size(), 0, to.data(), to.size), 0);
  };
  say(ours);
  ASSERT_TRUE(until([&] { return context->counters.udp.sent == 1; }));
  say(stranger);
  ASSERT_TRUE(until([&] { return context->counters.udp.strangers == 1; }));
  SocketAddress from;
  char byte = 0;
  ASSERT_EQ(recvfrom(site.get(), &byte, 1, 0, from.data(), &from.size), 1);
  EXPECT_EQ(from.endpoint()->address, IpAddress::parse("127.0.10.0"));
  ASSERT_EQ(sendto(site.get(), "y", 1, 0, from.data(), from.size), 1);
  ASSERT_TRUE(until([&] { return context->counters.udp.received == 1; }));
  uint8_t answer[64];
  ASSERT_EQ(recv(ours.get(), answer, sizeof answer, 0), 11);
  EXPECT_EQ(answer[10], 'y');
  EXPECT_LT(recv(stranger.get(), answer, sizeof answer, 0), 0);
  w.reset();
  EXPECT_TRUE(until([&] { return context->associations == 0; })) << "it ends with its connection";
}

TEST(ProxyListener, ListensOnLoopbackOnly) {
  for (const char* address :
       {"0.0.0.0:0", "192.0.2.1:0", "[::]:0", "[2001:db8::1]:0", "[::ffff:127.0.0.1]:0"}) {
    const auto l = listen_on_loopback(at(address));
    ASSERT_FALSE(l.ok()) << address;
    EXPECT_NE(l.error().message.find("loopback only"), std::string::npos);
  }
  const auto first = listen_on_loopback(at("127.0.0.5:0"));
  ASSERT_TRUE(first.ok());
  const auto second = listen_on_loopback(*local_of(first->get()));
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message.find("is in use"), std::string::npos);
}

}  // namespace
}  // namespace macrovpn::shell
