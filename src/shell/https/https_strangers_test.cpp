// What strangers are sent by the HTTPS port, counted on the wire: every kind of request that needs no key of ours.
//
// Nobody can be sent anything here who did not come himself: TCP has shown that he receives before the first byte leaves.  A certificate is larger than
// the question for it all the same, so what is promised is a bound: kMostForOne bytes and the page once, whatever is said, however often, and nothing
// that is not the page (docs/threat-model.md).
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <csignal>
#include <functional>

#include "shell/clock.h"
#include "shell/exit/socket_address.h"
#include "shell/https/page.h"
#include "shell/https/server.h"
#include "shell/tls/openssl.h"
#include "shell/websocket/admission.h"

namespace macrovpn::shell::https {
namespace {

constexpr size_t kMostForOne = 3584;  // of TLS: two hellos, the certificate, two tickets, 33 new keys, what frames the page, goodbye
constexpr size_t kMostWithoutTls = 16;  // an alert

struct FreeContext {
  void operator()(SSL_CTX* c) const { SSL_CTX_free(c); }
};
struct FreeSsl {
  void operator()(SSL* s) const { SSL_free(s); }
};
using Ssl = std::unique_ptr<SSL, FreeSsl>;

struct Strangers : testing::Test {
  OsRng os;
  SeededRng rng{1};
  PacketPool pool;
  Reactor reactor;
  NetworkId network{{1, 2, 3}};
  PublicKey relay{{4, 5, 6}};
  std::unique_ptr<SSL_CTX, FreeContext> context{SSL_CTX_new(TLS_client_method())};
  std::unique_ptr<Server> server;
  uint32_t source = 0;
  size_t most = 0, answered = 0;

  Strangers() {
    std::signal(SIGPIPE, SIG_IGN);
    const auto pem = tls::make_certificate("www.example.net", os, read_clocks().wall);
    server = std::make_unique<Server>(reactor, pool, os, tls::Context::server(*pem).value(), ServerConfig{network, relay, {}},
                                      [](std::span<node::Datagram>) {});
    EXPECT_TRUE(server->listen({IpAddress::v4(0x7f000001u), 0}).ok());
  }
  template <class F>
  bool until(F&& done) {
    for (int i = 0; i < 3000 && !done(); i++) reactor.run_once(2ms);
    return done();
  }
  // From an address of its own each time, as one alone may not come so often.
  Fd connect_anew() {
    for (;;) {
      EXPECT_TRUE(until([&] { return server->strangers() == 0; }));  // the last one has gone
      const uint64_t refused = server->counters().refused;
      Fd s = open_socket(AF_INET, SOCK_STREAM);
      const SocketAddress from({IpAddress::v4(0x7f010000u + ++source), 0}), to({IpAddress::v4(0x7f000001u), server->port()});
      EXPECT_EQ(bind(s.get(), from.data(), from.size), 0);
      connect(s.get(), to.data(), to.size);
      until([&] { return server->strangers() == 1 || server->counters().refused > refused; });
      if (server->strangers() == 1) return s;
      reactor.run_once(10ms);
    }
  }

  // One connection, and all bytes that it carried.
  struct Seen {
    size_t sent = 0, got = 0;
    bool over = false;
    std::string said;  // what the server said, inside of TLS where there is any
  };
  // True: the connection goes on.
  static bool move(const Fd& socket, std::string& out, Seen& seen, const std::function<void(Bytes)>& take) {
    while (!out.empty()) {
      const ssize_t n = send(socket.get(), out.data(), out.size(), MSG_DONTWAIT);
      if (n <= 0) break;
      seen.sent += static_cast<size_t>(n);
      out.erase(0, static_cast<size_t>(n));
    }
    ByteArray<16384> b;
    for (;;) {
      const ssize_t n = recv(socket.get(), b.data(), b.size(), MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN)) seen.over = true;
      if (n <= 0) return !seen.over;
      seen.got += static_cast<size_t>(n);
      take(Bytes(b).first(static_cast<size_t>(n)));
    }
  }
  enum class Then : uint8_t { hangs_up, waits };
  Seen without_tls(std::string said, Then then = Then::hangs_up) {
    Seen seen;
    const Fd s = connect_anew();
    bool shut = then == Then::waits;
    until([&] {
      const bool goes_on = move(s, said, seen, [&](Bytes b) { seen.said.append(b.begin(), b.end()); });
      if (said.empty() && !std::exchange(shut, true)) shutdown(s.get(), SHUT_WR);
      return !goes_on;
    });
    EXPECT_TRUE(seen.over);
    return seen;
  }
  // Inside of TLS: `speak` once hands are shaken.
  Seen with_tls(SSL_CTX* c, const std::function<void(SSL*)>& speak, const std::function<void(SSL*)>& prepare = {}, SSL_SESSION** ticket = nullptr) {
    Seen seen;
    const Ssl ssl(SSL_new(c));
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl.get(), in, out);
    SSL_set_connect_state(ssl.get());
    if (prepare) prepare(ssl.get());
    const Fd s = connect_anew();
    bool spoke = false;
    std::string waiting;
    until([&] {
      if (!SSL_is_init_finished(ssl.get())) SSL_do_handshake(ssl.get());
      if (SSL_is_init_finished(ssl.get()) && !std::exchange(spoke, true)) speak(ssl.get());
      ByteArray<16384> b;
      for (int n = 0; (n = BIO_read(out, b.data(), b.size())) > 0;) waiting.append(b.begin(), b.begin() + n);
      move(s, waiting, seen, [&](Bytes got) { BIO_write(in, got.data(), static_cast<int>(got.size())); });
      if (SSL_is_init_finished(ssl.get()) && spoke) {
        for (int n = 0; (n = SSL_read(ssl.get(), b.data(), b.size())) > 0;) seen.said.append(b.begin(), b.begin() + n);
      }
      return seen.over;
    });
    EXPECT_TRUE(seen.over) << "the server ends it";
    if (ticket != nullptr) *ticket = SSL_get1_session(ssl.get());
    return seen;
  }
  Seen says(const std::string& text) {
    return with_tls(context.get(), [&](SSL* s) {
      for (size_t at = 0; at < text.size(); at += 16'000) SSL_write(s, &text[at], static_cast<int>(std::min<size_t>(16'000, text.size() - at)));
    });
  }
  static std::string without_date(std::string s) {
    const size_t at = s.find("Date: ");
    return at == std::string::npos ? s : s.erase(at, s.find("\r\n", at) - at);
  }
  std::string page() const { return page_answer(kStandardPage, reactor.now().wall); }
  // The page once, and no more than the bound.
  void check(const Seen& seen, const std::string& what) {
    EXPECT_EQ(without_date(seen.said), without_date(page())) << what;
    EXPECT_LE(seen.got, kMostForOne + page().size()) << what;
    most = std::max(most, seen.got);
    answered++;
  }
  std::string noise(size_t n) {
    std::string out(n, 0);
    for (char& c : out) c = static_cast<char>(rng.below(256));
    return out;
  }
};

TEST_F(Strangers, WhoSpeaksNoTlsIsSentAnAlertAtMost) {
  const auto check_alert = [&](const std::string& said, const std::string& what) {
    const Seen seen = without_tls(said);
    EXPECT_LE(seen.got, kMostWithoutTls) << what;
    most = std::max(most, seen.got);
  };
  check_alert("", "nothing");
  for (const char* text : {"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "SSH-2.0-x\r\n", "EHLO x\r\n", "CONNECT x:1 HTTP/1.1\r\n\r\n"})
    check_alert(text, text);
  for (unsigned first = 0; first < 256; first++) {
    check_alert(static_cast<char>(first) + noise(64), "first byte " + std::to_string(first));
    // A whole record of that type.
    const std::string body = noise(32);
    check_alert(std::string{static_cast<char>(first), 3, 3, 0, 32} + body, "record " + std::to_string(first));
  }
  // Messages of the handshake: each type, as a record of its own; and one that says that much will follow.
  for (unsigned type = 0; type < 256; type++)
    check_alert(std::string{22, 3, 1, 0, 36, static_cast<char>(type), 0, 0, 32} + noise(32), "message " + std::to_string(type));
  check_alert(std::string("\x16\x03\x01\x40\x00\x01\x00\xff\xff", 9) + noise(300), "a hello that never ends");
  check_alert(std::string("\x80\x2e\x01\x00\x02", 5) + noise(60), "a hello of SSL 2");
  EXPECT_GT(most, 0u) << "else nobody was answered";
  EXPECT_EQ(server->counters().pages, 0u);
}

// Handshakes that end early, or take another turn.
TEST_F(Strangers, HandshakesAreBounded) {
  const auto with = [&](const std::string& what, const std::function<void(SSL*)>& prepare) {
    const Seen seen = with_tls(context.get(), [](SSL* s) { SSL_shutdown(s); }, prepare);
    EXPECT_LE(seen.got, kMostForOne + page().size()) << what;
    most = std::max(most, seen.got);
    return seen;
  };
  EXPECT_LE(with("TLS 1.2", [](SSL* s) { SSL_set_max_proto_version(s, TLS1_2_VERSION); }).got, kMostWithoutTls);
  EXPECT_LE(with("an algorithm that the certificate has not", [](SSL* s) { SSL_set1_sigalgs_list(s, "ed25519"); }).got, 1200u);
  for (const char* groups : {"X25519", "P-256", "X448", "P-521", "P-384", "ffdhe2048", "ffdhe8192", "ffdhe2048:X25519"})
    with(groups, [&](SSL* s) { SSL_set1_groups_list(s, groups); });
  for (const char* suites : {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256"})
    with(suites, [&](SSL* s) { SSL_set_ciphersuites(s, suites); });
  with("a protocol that it has not", [](SSL* s) { SSL_set_alpn_protos(s, reinterpret_cast<const unsigned char*>("\x02h2"), 3); });
  with("a name of 255 letters", [](SSL* s) {
    std::string name(255, 'x');
    SSL_ctrl(s, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
  });
  with("a stapled answer", [](SSL* s) { SSL_ctrl(s, SSL_CTRL_SET_TLSEXT_STATUS_REQ_TYPE, TLSEXT_STATUSTYPE_ocsp, nullptr); });
  // With the ticket of an earlier connection, as often as he likes.
  SSL_SESSION* ticket = nullptr;
  with_tls(context.get(), [](SSL* s) { SSL_write(s, "GET / HTTP/1.1\r\n\r\n", 18); }, {}, &ticket);
  ASSERT_NE(ticket, nullptr);
  for (int i = 0; i < 3; i++) with("resumed", [&](SSL* s) { SSL_set_session(s, ticket); });
  SSL_SESSION_free(ticket);
  // Keys are renewed again and again: each record of it is no request.
  const Seen updates = with_tls(context.get(), [](SSL* s) {
    for (int i = 0; i < 200; i++) {
      SSL_key_update(s, SSL_KEY_UPDATE_REQUESTED);
      SSL_do_handshake(s);
    }
    SSL_shutdown(s);
  });
  EXPECT_LE(updates.got, kMostForOne + page().size()) << "of " << updates.sent;
  EXPECT_GT(updates.sent, 5'000u);
  std::printf("at most %zu bytes in a handshake\n", most);
}

TEST_F(Strangers, EveryRequestIsAnsweredByThePageAndNoMoreThanTheBound) {
  for (const char* method : {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "PRI", "get", "X"}) {
    for (const char* target : {"/", "/robots.txt", "*", "http://x/", "x:443", "/../../etc/passwd", "/.well-known/acme-challenge/x"}) {
      const std::string line = std::string(method) + " " + target + " HTTP/1.1\r\nHost: x\r\n";
      check(says(line + "\r\n"), line);
    }
  }
  for (const char* version : {"HTTP/0.9", "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/9.9", "", "RTSP/1.0"})
    check(says(std::string("GET / ") + version + "\r\n\r\n"), version);
  const std::string get = "GET / HTTP/1.1\r\nHost: x\r\n";
  for (const char* field : {"Range: bytes=0-0,0-0,0-0,0-0", "Expect: 100-continue", "Upgrade: h2c\r\nConnection: Upgrade", "Connection: keep-alive",
                            "Transfer-Encoding: chunked", "Content-Length: 99999999", "Content-Length: -1", "Accept-Encoding: gzip, br", "Origin: null",
                            "If-None-Match: *", "Authorization: Basic eDp5", "Cookie: a=b", "TE: trailers", "Max-Forwards: 0", "Via: 1.1 x"})
    check(says(get + field + "\r\n\r\n"), field);
  std::string many;
  for (int i = 0; i < 60; i++) many += get + "\r\n";
  check(says(many), "sixty at once");
  check(says("POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + std::string(200'000, 'x')), "a large body");
  check(says(std::string(websocket::kMaxHead * 4, 'a')), "a head without end");
  check(says("GET / HTTP/1.1\r\n" + std::string(websocket::kMaxFields * 3, 'a') + "\r\n\r\n"), "no field");
  for (unsigned first = 0; first < 256; first += 5) check(says(static_cast<char>(first) + noise(100) + "\r\n\r\n"), "noise " + std::to_string(first));
  EXPECT_EQ(server->counters().admitted, 0u);
  std::printf("%zu requests, at most %zu bytes\n", answered, most);
}

TEST_F(Strangers, EveryWrongUpgradeIsAnsweredByThePage) {
  const auto good_but = [&](const std::function<void(std::string&)>& change) {
    return with_tls(context.get(), [&](SSL* s) {
      websocket::Exporter exporter{};
      SSL_export_keying_material(s, exporter.data(), exporter.size(), websocket::kExporterLabel.data(), websocket::kExporterLabel.size(), nullptr, 0, 0);
      std::string text = websocket::write_request("x", websocket::admission(network, relay, exporter));
      change(text);
      SSL_write(s, text.data(), static_cast<int>(text.size()));
      SSL_write(s, "\x89\x80\x00\x00\x00\x00", 6);  // a ping, as if all were well
    });
  };
  const auto replace = [](std::string& text, const std::string& what, const std::string& by) {
    const size_t at = text.find(what);
    ASSERT_NE(at, std::string::npos) << what;
    text.replace(at, what.size(), by);
  };
  const std::pair<const char*, const char*> changes[] = {
      {"GET /", "POST /"}, {"HTTP/1.1", "HTTP/1.0"}, {"Upgrade: websocket\r\n", ""}, {"Upgrade: websocket", "Upgrade: h2c"}, {"Connection: Upgrade\r\n", ""},
      {"Connection: Upgrade", "Connection: close"}, {"Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"}, {"Sec-WebSocket-Version: 13\r\n", ""},
      {"Sec-WebSocket-Key: ", "Sec-WebSocket-Key: A"}, {"Sec-WebSocket-Key: ", "X: "}, {"\r\n\r\n", "\r\nSec-WebSocket-Protocol: x\r\n\r\n"}};
  for (const auto& [from, to] : changes) check(good_but([&, f = from, t = to](std::string& text) { replace(text, f, t); }), from);
  // A secret of another relay, of another network, of another connection; one of which a bit is wrong.
  websocket::Key old{};
  for (int bit = -3; bit < 128; bit += bit < 0 ? 1 : 9) {
    check(with_tls(context.get(), [&](SSL* s) {
            websocket::Exporter exporter{};
            SSL_export_keying_material(s, exporter.data(), exporter.size(), websocket::kExporterLabel.data(), websocket::kExporterLabel.size(), nullptr, 0, 0);
            auto key = websocket::admission(bit == -3 ? NetworkId{{9}} : network, bit == -2 ? PublicKey{{9}} : relay, exporter);
            if (bit >= 0) key[static_cast<size_t>(bit) / 8] ^= static_cast<uint8_t>(1 << bit % 8);
            if (bit == -1) std::swap(key, old);
            old = key;
            const std::string text = websocket::write_request("x", key);
            SSL_write(s, text.data(), static_cast<int>(text.size()));
          }),
          "bit " + std::to_string(bit));
  }
  EXPECT_EQ(server->counters().admitted, 0u);
  const Seen good = with_tls(context.get(), [&](SSL* s) {
    websocket::Exporter exporter{};
    SSL_export_keying_material(s, exporter.data(), exporter.size(), websocket::kExporterLabel.data(), websocket::kExporterLabel.size(), nullptr, 0, 0);
    std::string text = websocket::write_request("x", websocket::admission(network, relay, exporter));
    // And pings: who is admitted has no session yet.
    for (int i = 0; i < 100; i++) text += std::string("\x89\xfd\x00\x00\x00\x00", 6) + std::string(125, 'p');
    text += std::string("\x88\x80\x00\x00\x00\x00", 6);
    SSL_write(s, text.data(), static_cast<int>(text.size()));
  });
  EXPECT_EQ(server->counters().admitted, 1u) << "else the changes changed nothing";
  EXPECT_LE(good.got, kMostForOne + good.sent);
}

}  // namespace
}  // namespace macrovpn::shell::https
