// Server and client over the loopback, strangers among them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <csignal>

#include "shell/clock.h"
#include "shell/exit/socket_address.h"
#include "shell/https/client.h"
#include "shell/https/page.h"
#include "shell/https/server.h"
#include "shell/https/udp_probe.h"
#include "shell/websocket/admission.h"

namespace macrovpn::shell::https {
namespace {

using Outcome = tls::Stream::Outcome;

struct Https : testing::Test {
  OsRng rng;
  PacketPool pool;
  Reactor reactor;
  NetworkId network{{1, 2, 3}};
  PublicKey relay{{4, 5, 6}};
  tls::Context context = tls::Context::client().value();
  tls::Pin pin{};
  std::unique_ptr<Server> server;
  std::vector<node::Datagram> at_server;

  Https() {
    std::signal(SIGPIPE, SIG_IGN);
    const auto pem = tls::make_certificate("www.example.net", rng, read_clocks().wall);
    auto own = tls::Context::server(*pem);
    pin = own->pin();
    server = std::make_unique<Server>(reactor, pool, rng, std::move(own).value(), ServerConfig{network, relay, {}},
                                      [this](std::span<node::Datagram> d) { std::move(d.begin(), d.end(), std::back_inserter(at_server)); });
    EXPECT_TRUE(server->listen({IpAddress::v4(0x7f000001u), 0}).ok());
  }
  Endpoint where() const { return {IpAddress::v4(0x7f000001u), server->port()}; }

  template <class F>
  bool until(F&& done) {
    for (int i = 0; i < 2000 && !done(); i++) reactor.run_once(5ms);
    return done();
  }

  struct User {
    std::unique_ptr<Client> client;
    bool ready = false;
    std::optional<Client::Why> over;
    std::vector<Packet> got;
  };
  std::unique_ptr<User> user(const tls::Pin& wanted, const PublicKey& key) {
    auto u = std::make_unique<User>();
    u->client = std::make_unique<Client>(reactor, pool, rng, context, network, Address{where(), "www.example.net", wanted, key}, 0,
                                         Client::Events{[p = u.get()] { p->ready = true; },
                                                        [p = u.get()](std::span<Packet> d) {
                                                          for (Packet& x : d) p->got.push_back(std::move(x));
                                                        },
                                                        [p = u.get()](Client::Why w) { p->over = w; }});
    EXPECT_TRUE(u->client->start().ok());
    return u;
  }
  void answer(const Endpoint& to, Bytes bytes) {
    std::vector<node::Datagram> d;
    d.push_back({kHttpsSocket, to, pool.copy_of(bytes)});
    server->send(d);
  }

  // What somebody sees who says this inside of TLS, and then nothing more.
  std::string seen_by(const std::string& said, bool hangs_up = false) {
    Fd s = open_socket(AF_INET, SOCK_STREAM);
    const SocketAddress to(where());
    connect(s.get(), to.data(), to.size);
    auto stream = tls::Stream::connect(context, std::move(s), "x").value();
    until([&] { return stream.shake_hands() == Outcome::done; });
    size_t n = 0;
    if (!said.empty()) stream.write(as_bytes(said), n);
    if (hangs_up) stream.close();
    std::string out;
    ByteArray<8192> buffer;
    until([&] {
      const Outcome o = stream.read(buffer, n);
      if (o == Outcome::done) out.append(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(n));
      return o == Outcome::ended;
    });
    return without_date(out);
  }
  static std::string without_date(std::string s) {
    const size_t at = s.find("Date: ");
    return at == std::string::npos ? s : s.erase(at, s.find("\r\n", at) - at);
  }
  std::string page() const { return without_date(page_answer(kStandardPage, reactor.now().wall)); }
};

TEST_F(Https, CarriesDatagramsBothWaysWhole) {
  const auto u = user(pin, relay);
  ASSERT_TRUE(until([&] { return u->ready; }));
  std::vector<uint8_t> bytes(1400);
  rng.fill(bytes);
  for (const size_t n : {1, 148, 1400}) u->client->send(pool.copy_of(Bytes(bytes).first(n)));
  u->client->flush();
  ASSERT_TRUE(until([&] { return at_server.size() == 3; }));
  EXPECT_EQ(at_server[0].socket, kHttpsSocket);
  EXPECT_TRUE(equal(at_server[2].packet.bytes(), bytes));
  EXPECT_EQ(at_server[2].remote.address, where().address);
  answer(at_server[0].remote, bytes);
  ASSERT_TRUE(until([&] { return u->got.size() == 1; }));
  EXPECT_TRUE(equal(u->got[0].bytes(), bytes));
  EXPECT_EQ(server->links(), 1u);
  EXPECT_EQ(server->strangers(), 0u);
}

TEST_F(Https, AnotherCertificateIsRefusedBeforeAWordIsSaid) {
  tls::Pin other = pin;
  other[0] ^= 1;
  const auto u = user(other, relay);
  ASSERT_TRUE(until([&] { return u->over.has_value(); }));
  EXPECT_EQ(u->over, Client::Why::wrong_certificate);
  EXPECT_FALSE(u->ready);
  EXPECT_EQ(server->counters().admitted, 0u);
}

TEST_F(Https, WhoDoesNotKnowTheRelaysKeySeesThePage) {
  const auto u = user(pin, PublicKey{{9}});
  ASSERT_TRUE(until([&] { return u->over.has_value(); }));
  EXPECT_EQ(u->over, Client::Why::not_admitted);
  EXPECT_EQ(server->counters().pages, 1u);
  EXPECT_EQ(server->links(), 0u);
}

TEST_F(Https, AStrangerSeesTheSamePageWhateverHeSays) {
  const websocket::Key made_up{7};
  // One that was good in another connection.
  const auto old = websocket::admission(network, relay, websocket::Exporter{1});
  EXPECT_EQ(seen_by("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), page());
  EXPECT_EQ(seen_by("HEAD /secret HTTP/1.0\r\n\r\n"), page());
  EXPECT_EQ(seen_by(websocket::write_request("x", made_up)), page());
  EXPECT_EQ(seen_by(websocket::write_request("x", old)), page());
  EXPECT_EQ(seen_by(std::string(websocket::kMaxHead + 100, 'a')), page());
  EXPECT_EQ(seen_by(std::string("\x01\x02\x00\xff\r\n\r\n", 8)), page());
  EXPECT_EQ(seen_by("GET / HT", true), page()) << "and hangs up";
  EXPECT_EQ(seen_by("", true), page()) << "nothing, and hangs up";
  EXPECT_EQ(server->counters().admitted, 0u);
  EXPECT_TRUE(until([&] { return server->strangers() == 0; }));
}

TEST_F(Https, WhoSpeaksNoTlsIsHungUpOn) {
  Fd s = open_socket(AF_INET, SOCK_STREAM);
  const SocketAddress to(where());
  connect(s.get(), to.data(), to.size);
  ASSERT_TRUE(until([&] { return server->strangers() == 1; }));
  ASSERT_GT(send(s.get(), "GET / HTTP/1.1\r\n\r\n", 18, 0), 0);
  EXPECT_TRUE(until([&] { return server->strangers() == 0; }));
}

TEST_F(Https, OneSourceHasAShareOfTheStrangersPlaces) {
  std::vector<Fd> sockets;
  const SocketAddress to(where());
  for (size_t i = 0; i < Server::kMostStrangersOfSource + 3; i++) {
    Fd s = open_socket(AF_INET, SOCK_STREAM);
    connect(s.get(), to.data(), to.size);
    sockets.push_back(std::move(s));
  }
  EXPECT_TRUE(until([&] { return server->counters().refused == 3; }));
  EXPECT_EQ(server->strangers(), Server::kMostStrangersOfSource);
  sockets.clear();
  EXPECT_TRUE(until([&] { return server->strangers() == 0; }));
  const auto u = user(pin, relay);
  EXPECT_TRUE(until([&] { return u->over.has_value() || u->ready; }));
}

TEST_F(Https, WhenStrangersFillTheirPlacesTheOldestGoes) {
  std::vector<Fd> sockets;
  const SocketAddress to(where());
  const auto come_from = [&](uint32_t source) {
    Fd s = open_socket(AF_INET, SOCK_STREAM);
    const SocketAddress from({IpAddress::v4(0x7f000100u + source), 0});
    EXPECT_EQ(bind(s.get(), from.data(), from.size), 0);
    connect(s.get(), to.data(), to.size);
    return s;
  };
  const auto oldest_is_gone = [&] {
    char c;
    return recv(sockets.front().get(), &c, 1, MSG_DONTWAIT) == 0;
  };
  // 16 from each of 16; refused ones, for so many at once, are tried again.
  for (int i = 0; i < 5000 && sockets.size() < Server::kMostStrangers; i++) {
    const uint64_t refused = server->counters().refused;
    const size_t before = server->strangers();
    Fd s = come_from(static_cast<uint32_t>(sockets.size() / Server::kMostStrangersOfSource));
    ASSERT_TRUE(until([&] { return server->strangers() > before || server->counters().refused > refused; }));
    if (server->strangers() > before) sockets.push_back(std::move(s));
    if (server->counters().refused > refused) reactor.run_once(5ms);
  }
  ASSERT_EQ(server->strangers(), Server::kMostStrangers);
  for (int i = 0; i < 20; i++) {  // one that has its share already
    const Fd s = come_from(0);
    reactor.run_once(2ms);
  }
  EXPECT_FALSE(oldest_is_gone());
  // Soon, and not because its time is up.
  for (int i = 0; i < 200 && !oldest_is_gone(); i++) {
    const Fd newest = come_from(100);
    reactor.run_once(2ms);
  }
  EXPECT_TRUE(oldest_is_gone());
  EXPECT_LE(server->strangers(), Server::kMostStrangers);
}

TEST(UdpProbeTest, TakesTheAnswerToItsLastQuestionAlone) {
  OsRng rng;
  PacketPool pool;
  const NetworkId network{{1}};
  const PublicKey relay{{2}};
  const encryption::MaskKey mask(network.bytes, relay);
  UdpProbe probe(network, relay);
  // As a relay does: unmasked, turned into an answer, masked.
  const auto answered = [&](Packet question, uint8_t change) {
    std::vector<uint8_t> d(question.bytes().begin(), question.bytes().end());
    mask.unmask_handshake(d);
    EXPECT_EQ(to_hex(Bytes(d).first(8)), "000100002112a442");
    EXPECT_GE(d.size(), 48u);
    d[0] = 1;
    d[19] ^= change;
    mask.mask_handshake(d);
    return d;
  };
  EXPECT_FALSE(probe.is_answer(std::vector<uint8_t>(64)));
  const auto old = answered(probe.ask(pool, rng), 0);
  EXPECT_TRUE(probe.is_answer(old));
  const auto good = answered(probe.ask(pool, rng), 0);
  EXPECT_TRUE(probe.is_answer(good));
  EXPECT_FALSE(probe.is_answer(old));
  EXPECT_FALSE(probe.is_answer(answered(probe.ask(pool, rng), 1)));
}

TEST_F(Https, WhatBreaksTheFramesEndsTheLinkAndNothingElse) {
  Fd s = open_socket(AF_INET, SOCK_STREAM);
  const SocketAddress to(where());
  connect(s.get(), to.data(), to.size);
  auto stream = tls::Stream::connect(context, std::move(s), "x").value();
  ASSERT_TRUE(until([&] { return stream.shake_hands() == Outcome::done; }));
  const auto key = websocket::admission(network, relay, stream.exporter(websocket::kExporterLabel));
  size_t n = 0;
  const auto other = user(pin, relay);
  ASSERT_TRUE(until([&] { return other->ready; }));
  stream.write(as_bytes(websocket::write_request("x", key)), n);
  ASSERT_TRUE(until([&] { return server->links() == 2; }));
  stream.write(as_bytes(std::string("\x82\x00", 2)), n);  // not masked
  EXPECT_TRUE(until([&] { return server->links() == 1; }));
}

TEST_F(Https, AQueueThatIsFullLosesTheOldest) {
  const auto u = user(pin, relay);
  ASSERT_TRUE(until([&] { return u->ready; }));
  const size_t many = Link::kMostQueued / 1000 + 10;
  for (size_t i = 0; i < many; i++) {
    std::vector<uint8_t> d(1000);
    store_be32(d.data(), static_cast<uint32_t>(i));
    u->client->send(pool.copy_of(d));
  }
  EXPECT_EQ(u->client->lost(), many - Link::kMostQueued / 1000);
  u->client->flush();
  ASSERT_TRUE(until([&] { return at_server.size() == Link::kMostQueued / 1000; }));
  EXPECT_EQ(load_be32(at_server.front().packet.data()), u->client->lost());
  EXPECT_EQ(load_be32(at_server.back().packet.data()), many - 1);
}

TEST_F(Https, AnotherThreadsDatagramsGoThroughTheLinkToo) {
  const auto u = user(pin, relay);
  ASSERT_TRUE(until([&] { return u->ready; }));
  u->client->send(pool.copy_of(as_bytes("hello")));
  u->client->flush();
  ASSERT_TRUE(until([&] { return at_server.size() == 1; }));
  std::vector<node::Datagram> d;
  d.push_back({kHttpsSocket, at_server[0].remote, pool.copy_of(as_bytes("from elsewhere"))});
  server->send_from_elsewhere(d);
  EXPECT_TRUE(until([&] { return u->got.size() == 1; }));
}

TEST_F(Https, TheEndOfTheServerIsNoticed) {
  const auto u = user(pin, relay);
  ASSERT_TRUE(until([&] { return u->ready; }));
  server.reset();
  EXPECT_TRUE(until([&] { return u->over == Client::Why::ended; }));
}

}  // namespace
}  // namespace macrovpn::shell::https
