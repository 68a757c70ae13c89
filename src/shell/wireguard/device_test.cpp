#include "shell/wireguard/device.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "shell/wireguard/device_world_test.h"

namespace macrovpn::shell {
namespace {

std::vector<uint8_t> packet(size_t payload = 12) {
  return shell::packet("10.0.0.1", "10.0.0.2", 0, payload);
}

std::vector<uint8_t> carried(TestDevice& from, TestDevice& to, Bytes what) {
  from.put(what);
  for (int i = 0; i < 200; i++) {
    from.reactor.run_once(1ms);
    to.reactor.run_once(1ms);
    if (auto got = to.take(); !got.empty()) return got;
  }
  return {};
}

TEST(WireGuardDevice, CarriesAPacketToAnotherAndCountsIt) {
  TestDevice a, b;
  a.up();
  b.up();
  ASSERT_EQ(a.set(b.name() + "endpoint=127.0.0.1:" + b.port() + "\nallowed_ip=10.0.0.2/32\n"), 0);
  ASSERT_EQ(b.set(a.name() + "allowed_ip=10.0.0.1/32\n"), 0);
  EXPECT_EQ(carried(a, b, packet()), packet());
  EXPECT_TRUE(b.says("endpoint=127.0.0.1:" + a.port()));
  EXPECT_TRUE(a.says("tx_bytes=" + std::to_string(148 + 32 + 32))) << a.get();
  EXPECT_TRUE(b.says("rx_bytes=" + std::to_string(148 + 32 + 32)) && b.says("tx_bytes=92")) << b.get();
  EXPECT_FALSE(a.says("last_handshake_time_sec=0"));
  EXPECT_EQ(a.count("sessions") + b.count("sessions"), 2u);
}

TEST(WireGuardDevice, IgnoresItselfAmongThePeers) {
  TestDevice a;
  a.up();
  EXPECT_EQ(a.set(a.name() + "allowed_ip=10.0.0.0/8\nendpoint=192.0.2.1:1\n"), 0);
  EXPECT_EQ(a.device->state().peers.size(), 0u);
}

TEST(WireGuardDevice, UpdatesOnlyWhoIsThere) {
  TestDevice a, b;
  EXPECT_EQ(a.set(b.name() + "update_only=true\nallowed_ip=10.0.0.0/8\n"), 0);
  EXPECT_EQ(a.get(), "");
  a.set(b.name());
  EXPECT_EQ(a.set(b.name() + "update_only=true\nallowed_ip=10.0.0.0/8\n"), 0);
  EXPECT_TRUE(a.says("allowed_ip=10.0.0.0/8"));
  EXPECT_EQ(a.set(b.name() + "remove=true\nallowed_ip=10.0.0.0/8\n"), 0);
  EXPECT_EQ(a.get(), "");
}

TEST(WireGuardDevice, ShowsAPrivateKeyAsStockDevicesDo) {
  TestDevice a;
  a.set("private_key=" + std::string(64, 'f') + "\n");
  EXPECT_TRUE(a.says("private_key=f8" + std::string(60, 'f') + "7f"));
  a.set("private_key=" + std::string(64, '0') + "\n");
  EXPECT_EQ(a.get(), "");
}

TEST(WireGuardDevice, KeepsThePortThatItHasWhereAnotherIsTaken) {
  TestDevice a, b;
  a.up();
  b.up();
  const std::string before = a.port();
  EXPECT_EQ(a.set("listen_port=" + b.port() + "\nfwmark=5\n"), EADDRINUSE);
  EXPECT_EQ(a.port(), before);
  EXPECT_FALSE(a.says("fwmark=5"));
  EXPECT_EQ(a.set("listen_port=" + before + "\n"), 0);
}

TEST(WireGuardDevice, ThatIsDownHasNoPortAndIsSilent) {
  TestDevice a, b;
  b.up();
  a.set("private_key=" + to_hex(a.keys.secret.reveal()) + "\nlisten_port=0\n" + b.name() +
        "endpoint=127.0.0.1:" + b.port() + "\npersistent_keepalive_interval=1\nallowed_ip=::/0\n");
  a.reactor.run_once(Duration::zero());
  EXPECT_EQ(a.count("sent_initiation"), 0u);
  EXPECT_EQ(a.device->state().listen_port, 0);
  a.up();
  a.reactor.run_once(Duration::zero());
  EXPECT_EQ(a.count("sent_initiation"), 1u);
  const std::string port = a.port();
  a.device->set_link({false, 1420});
  EXPECT_EQ(b.set("listen_port=" + port + "\n"), 0);  // it is free again
}

TEST(WireGuardDevice, AnswersWhatIsTooLongForIt) {
  TestDevice a, b;
  a.up(9000);
  a.set(b.name() + "allowed_ip=10.0.0.0/8\n");
  a.put(packet(1741));
  a.reactor.run_once(Duration::zero());
  const auto answer = a.take();
  ASSERT_GE(answer.size(), 28u);
  EXPECT_EQ(answer[20], 3);  // unreachable: fragmentation needed
  EXPECT_EQ(answer[21], 4);
  EXPECT_EQ(load_be16(&answer[26]), 1760);
  EXPECT_EQ(a.count("too_long"), 1u);
  EXPECT_EQ(a.count("sent_transport"), 0u);
}

TEST(WireGuardDevice, DropsWhatIsForNobody) {
  TestDevice a;
  a.up();
  a.put(packet());
  a.reactor.run_once(Duration::zero());
  EXPECT_EQ(a.count("no_peer"), 1u);
}

}  // namespace
}  // namespace macrovpn::shell
