#include "shell/wireguard/uapi_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace macrovpn::shell {
namespace {

struct UapiSockets : ::testing::Test {
  UapiSockets() {
    char name[] = "/tmp/mv-uapi-XXXXXX";
    folder = mkdtemp(name);
  }
  ~UapiSockets() override { std::filesystem::remove_all(folder); }

  std::string path() const { return folder + "/wg0.sock"; }
  Result<UapiSocket> open() { return UapiSocket::open(folder, "wg0", Duration::zero()); }
  void serve(UapiSocket& s) {
    s.serve(reactor,
            {[this] { return got; }, [] { return std::string("looped=3\n"); },
             [this](std::string_view body) {
               sets.emplace_back(body);
               return body == "bad=1\n" ? EINVAL : 0;
             }},
            [this] { deleted = true; });
  }
  Fd connect() const {
    Fd s(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_un a{};
    a.sun_family = AF_UNIX;
    std::memcpy(a.sun_path, path().data(), path().size());
    EXPECT_EQ(::connect(s.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a), 0);
    return s;
  }
  void turn(int rounds = 3) {
    for (int i = 0; i < rounds; i++) reactor.run_once(Duration::zero());
  }
  void say(const Fd& s, std::string_view text) {
    ASSERT_EQ(send(s.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
    turn();
  }
  std::string hear(const Fd& s) {
    std::string out;
    char buffer[65536];
    for (int i = 0; i < 1000; i++) {
      const ssize_t n = recv(s.get(), buffer, sizeof buffer, 0);
      if (n == 0) return out + "<end>";
      if (n > 0) out.append(buffer, static_cast<size_t>(n));
      if (n < 0 && i > 3) break;
      turn(1);
    }
    return out;
  }

  Reactor reactor;
  std::string folder, got = "listen_port=5\n";
  std::vector<std::string> sets;
  bool deleted = false;
};

TEST_F(UapiSockets, AnswerSeveralRequestsOfOneConnection) {
  auto s = open();
  ASSERT_TRUE(s.ok());
  serve(*s);
  const Fd c = connect();
  say(c, "get=1\n\n");
  EXPECT_EQ(hear(c), "listen_port=5\nerrno=0\n\n");
  say(c, "set=1\nlisten_po");
  EXPECT_EQ(hear(c), "");
  say(c, "rt=7\n\nset=1\nbad=1\n\ncounters=1\n\n");
  EXPECT_EQ(hear(c), "errno=0\n\nerrno=-22\n\nlooped=3\nerrno=0\n\n");
  EXPECT_EQ(sets, (std::vector<std::string>{"listen_port=7\n", "bad=1\n"}));
}

TEST_F(UapiSockets, TakeASetWhoseSenderStoppedWithoutABlankLine) {
  auto s = open();
  ASSERT_TRUE(s.ok());
  serve(*s);
  const Fd c = connect();
  say(c, "set=1\nfwmark=1\n");
  shutdown(c.get(), SHUT_WR);
  turn();
  EXPECT_EQ(hear(c), "errno=0\n\n<end>");
  EXPECT_EQ(sets.size(), 1u);
}

TEST_F(UapiSockets, HangUpOnStrangeWords) {
  auto s = open();
  ASSERT_TRUE(s.ok());
  serve(*s);
  const Fd c = connect();
  say(c, "GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(hear(c), "<end>");
}

TEST_F(UapiSockets, SendALongAnswerToASlowReader) {
  got = std::string(8 << 20, 'x');
  auto s = open();
  ASSERT_TRUE(s.ok());
  serve(*s);
  const Fd c = connect();
  say(c, "get=1\n\n");
  EXPECT_EQ(hear(c).size(), got.size() + std::strlen("errno=0\n\n"));
}

TEST_F(UapiSockets, OneTooManyClosesTheOldest) {
  auto s = open();
  ASSERT_TRUE(s.ok());
  serve(*s);
  std::vector<Fd> all;
  for (size_t i = 0; i <= UapiSocket::kMaxConnections; i++) {
    all.push_back(connect());
    turn(1);
  }
  EXPECT_EQ(hear(all.front()), "<end>");
  say(all.back(), "get=1\n\n");
  EXPECT_EQ(hear(all.back()), got + "errno=0\n\n");
}

TEST_F(UapiSockets, OnlyTheOwnerMayOpenTheFile) {
  auto s = open();
  ASSERT_TRUE(s.ok());
  struct stat st {};
  ASSERT_EQ(stat(path().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
}

TEST_F(UapiSockets, TheFileOfAKilledProcessIsTakenOver) {
  {
    auto killed = open();
    ASSERT_TRUE(killed.ok());
    killed->leave_to_child();
  }
  ASSERT_TRUE(std::filesystem::exists(path()));
  auto s = open();
  ASSERT_TRUE(s.ok());
  serve(*s);
  const Fd c = connect();
  say(c, "get=1\n\n");
  EXPECT_EQ(hear(c), got + "errno=0\n\n");
}

TEST_F(UapiSockets, TheFileOfAProcessThatLivesIsNot) {
  auto first = open();
  ASSERT_TRUE(first.ok());
  const auto second = open();
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message.find("another process has a WireGuard device of that name"),
            std::string::npos);
}

TEST_F(UapiSockets, WhoeverDeletesTheFileEndsTheDevice) {
  auto s = open();
  ASSERT_TRUE(s.ok());
  serve(*s);
  std::filesystem::remove(path());
  turn();
  EXPECT_TRUE(deleted);
}

TEST_F(UapiSockets, WhoeverDeletedItBeforeWeLookedEndsTheDeviceToo) {
  auto s = open();
  ASSERT_TRUE(s.ok());
  std::filesystem::remove(path());
  serve(*s);
  turn();
  EXPECT_TRUE(deleted);
}

TEST_F(UapiSockets, LeaveNothingElseInTheFolder) {
  auto s = open();
  ASSERT_TRUE(s.ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
}

TEST_F(UapiSockets, DeleteTheFileAtTheEndUnlessItIsAnothers) {
  { auto s = open(); }
  EXPECT_FALSE(std::filesystem::exists(path()));
  auto first = open();
  ASSERT_TRUE(first.ok());
  std::filesystem::remove(path());
  const auto second = open();
  ASSERT_TRUE(second.ok());
  { const auto gone = std::move(first); }
  EXPECT_TRUE(std::filesystem::exists(path()));
}

TEST_F(UapiSockets, AdoptOnlyASocketThatListens) {
  EXPECT_FALSE(UapiSocket::adopt(Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), folder, "wg0").ok());
  EXPECT_FALSE(UapiSocket::adopt(Fd(::open("/dev/null", O_RDONLY)), folder, "wg0").ok());
}

}  // namespace
}  // namespace macrovpn::shell
