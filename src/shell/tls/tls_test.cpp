#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>
#include <set>

#include "shell/clock.h"
#include "shell/config/atomic_file.h"
#include "shell/tls/openssl.h"
#include "shell/tls/tls_stream.h"

namespace macrovpn::shell::tls {
namespace {

using Outcome = Stream::Outcome;

struct Tls : testing::Test {
  OsRng rng;
  Wall now = read_clocks().wall;
  std::string folder = [] {
    std::string name = testing::TempDir() + "tlsXXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    return name;
  }();
  ~Tls() override { std::filesystem::remove_all(folder); }
  std::string file() const { return folder + "/https.pem"; }

  static std::pair<Fd, Fd> sockets() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    return {Fd(ends[0]), Fd(ends[1])};
  }
  static bool shake(Stream& a, Stream& b) {
    for (int i = 0; i < 10; i++) {
      const bool both = a.shake_hands() == Outcome::done;
      if (b.shake_hands() == Outcome::done && both) return true;
    }
    return false;
  }
};

TEST_F(Tls, BothEndsHaveOneExporterAndTheClientSeesThePin) {
  auto pem = make_certificate("www.example.net", rng, now);
  ASSERT_TRUE(pem.ok());
  auto server_context = Context::server(*pem), client_context = Context::client();
  ASSERT_TRUE(server_context.ok() && client_context.ok());
  ByteArray<32> before{};
  for (int i = 0; i < 2; i++) {
    auto [a, b] = sockets();
    auto server = Stream::accept(*server_context, std::move(a)), client = Stream::connect(*client_context, std::move(b), "www.example.net");
    ASSERT_TRUE(server.ok() && client.ok() && shake(*client, *server));
    EXPECT_EQ(client->peer_pin(), server_context->pin());
    EXPECT_EQ(client->exporter("a label"), server->exporter("a label"));
    EXPECT_NE(client->exporter("a label"), client->exporter("another"));
    EXPECT_NE(client->exporter("a label"), before) << "another connection's";
    before = client->exporter("a label");
    size_t n = 0;
    ByteArray<16> got{};
    EXPECT_EQ(client->write(as_bytes("hello"), n), Outcome::done);
    EXPECT_EQ(server->read(got, n), Outcome::done);
    EXPECT_TRUE(equal(Bytes(got).first(n), as_bytes("hello")));
    client->close();
    EXPECT_EQ(server->read(got, n), Outcome::ended);
  }
}

TEST_F(Tls, WhoSpeaksNoTlsEndsTheConnection) {
  auto pem = make_certificate("192.0.2.1", rng, now);
  ASSERT_TRUE(pem.ok());
  auto context = Context::server(*pem);
  auto [a, b] = sockets();
  auto server = Stream::accept(*context, std::move(a));
  ASSERT_EQ(write(b.get(), "GET / HTTP/1.1\r\n\r\n", 18), 18);
  EXPECT_EQ(server->shake_hands(), Outcome::ended);
}

// Else who says nothing, fast, keeps a thread.
TEST_F(Tls, ARecordThatHoldsNothingEndsARead) {
  auto pem = make_certificate("192.0.2.1", rng, now);
  auto context = Context::server(*pem);
  auto [a, b] = sockets();
  auto server = Stream::accept(*context, std::move(a));
  SSL_CTX* plain = SSL_CTX_new(TLS_client_method());
  SSL* client = SSL_new(plain);
  SSL_set_fd(client, b.get());
  SSL_set_connect_state(client);
  for (int i = 0; i < 10; i++) {
    SSL_do_handshake(client);
    static_cast<void>(server->shake_hands());
  }
  ASSERT_EQ(SSL_is_init_finished(client), 1);
  for (size_t i = 0; i <= Stream::kMostKeyUpdates; i++) {
    SSL_key_update(client, SSL_KEY_UPDATE_REQUESTED);
    ASSERT_EQ(SSL_do_handshake(client), 1);
  }
  ASSERT_EQ(SSL_write(client, "x", 1), 1);
  size_t n = 0;
  ByteArray<16> got{};
  Outcome o{};
  size_t reads = 0;
  for (; reads < 100 && (o = server->read(got, n)) == Outcome::wants_read;) reads++;
  EXPECT_EQ(o, Outcome::ended) << "new keys once too often";
  EXPECT_GE(reads, Stream::kMostKeyUpdates);
  EXPECT_LE(reads, Stream::kMostKeyUpdates * 3);
  SSL_free(client);
  SSL_CTX_free(plain);
}

TEST_F(Tls, TheCertificateIsMadeOnceAndKeptFromOthers) {
  const auto first = load_or_make_certificate(file(), "192.0.2.1", rng, now);
  ASSERT_TRUE(first.ok()) << first.error().message;
  struct stat s;
  ASSERT_EQ(stat(file().c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0600u);
  EXPECT_EQ(*load_or_make_certificate(file(), "192.0.2.1", rng, now), *first);
  EXPECT_EQ(*name_of(*first), "192.0.2.1");
}

TEST_F(Tls, AnotherNameMakesAnotherCertificateAndNoNameKeepsIt) {
  const auto first = load_or_make_certificate(file(), "", rng, now);
  ASSERT_TRUE(first.ok());
  EXPECT_NE(name_of(*first)->find('.'), std::string::npos);
  EXPECT_EQ(*load_or_make_certificate(file(), "", rng, now), *first);
  const auto second = load_or_make_certificate(file(), "www.example.net", rng, now);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(*name_of(*second), "www.example.net");
  EXPECT_NE(Context::server(*first)->pin(), Context::server(*second)->pin());
}

TEST_F(Tls, DrawnNamesDiffer) {
  std::set<std::string> names;
  for (int i = 0; i < 8; i++) {
    std::filesystem::remove(file());
    names.insert(*name_of(*load_or_make_certificate(file(), "", rng, now)));
  }
  EXPECT_GE(names.size(), 7u);
}

TEST_F(Tls, ADamagedFileIsSaidAndLeftAlone) {
  ASSERT_TRUE(write_file(file(), as_bytes("-----BEGIN nothing")).ok());
  const auto loaded = load_or_make_certificate(file(), "192.0.2.1", rng, now);
  ASSERT_FALSE(loaded.ok());
  EXPECT_NE(loaded.error().message.find("is damaged"), std::string::npos);
  EXPECT_EQ(read_file(file(), 100)->size(), 18u);
}

}  // namespace
}  // namespace macrovpn::shell::tls
