#include "shell/wireguard/uapi.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace macrovpn::shell::uapi {
namespace {

const std::string kKey(64, 'a'), kOther(64, 'b'), kZero(64, '0');

int refusal_of(const std::string& body) {
  return parse_set(body).refusal.number;
}

TEST(UapiFraming, FindsOneRequestAfterTheOther) {
  const std::string text = "set=1\nlisten_port=5\n\nget=1\n\ncounters=1\n\n";
  const Request set = next_request(text, 0, More::may_come);
  EXPECT_EQ(set.operation, Operation::set);
  EXPECT_EQ(set.body, "listen_port=5\n");
  const std::string rest = text.substr(set.size);
  const Request get = next_request(rest, 0, More::may_come);
  EXPECT_EQ(get.operation, Operation::get);
  const Request counters = next_request(rest.substr(get.size), 0, More::may_come);
  EXPECT_EQ(counters.operation, Operation::counters);
  EXPECT_EQ(set.size + get.size + counters.size, text.size());
}

TEST(UapiFraming, AnEmptySetIsWhole) {
  const Request r = next_request("set=1\n\nx", 0, More::may_come);
  EXPECT_EQ(r.operation, Operation::set);
  EXPECT_EQ(r.body, "");
  EXPECT_EQ(r.size, 7u);
}

TEST(UapiFraming, WaitsForTheBlankLineUnlessNothingMoreComes) {
  const std::string text = "set=1\nlisten_port=5\n";
  EXPECT_EQ(next_request(text, 0, More::may_come).operation, Operation::incomplete);
  const Request r = next_request(text, text.size(), More::none);
  EXPECT_EQ(r.operation, Operation::set);
  EXPECT_EQ(r.body, "listen_port=5\n");
  EXPECT_EQ(next_request("get=1\n", 0, More::none).operation, Operation::incomplete);
}

TEST(UapiFraming, GivesTheSameByteByByte) {
  const std::string text = "set=1\nlisten_port=5\nfwmark=1\n\n";
  size_t searched = 0;
  for (size_t n = 0; n < text.size(); n++) {
    ASSERT_EQ(next_request(std::string_view(text).substr(0, n), searched, More::may_come).operation,
              Operation::incomplete);
    searched = n;
  }
  EXPECT_EQ(next_request(text, searched, More::may_come).size, text.size());
}

TEST(UapiFraming, HangsUpOnWhatIsNoOperation) {
  for (const char* text :
       {"hello\n", "get=2\n\n", "\n", "set=1 \n\n", "counters=1\nx", "a very long line without an end"})
    EXPECT_EQ(next_request(text, 0, More::may_come).operation, Operation::unknown) << text;
  EXPECT_EQ(next_request("get=1\nx", 0, More::may_come).operation, Operation::bad_get);
}

TEST(UapiSet, ReadsEveryKey) {
  const SetRequest r = parse_set(
      "private_key=" + kKey + "\nlisten_port=51820\nfwmark=4294967295\nreplace_peers=true\npublic_key=" +
      kOther + "\nupdate_only=true\nprotocol_version=1\npreshared_key=" + kKey +
      "\nendpoint=[2001:db8::1]:443\npersistent_keepalive_interval=65535\nreplace_allowed_ips=true\n"
      "allowed_ip=10.1.2.3/8\nallowed_ip=::/0\nallowed_ip=-10.0.0.0/8\nremove=true\n");
  ASSERT_EQ(r.refusal.number, 0) << r.refusal.why;
  ASSERT_EQ(r.changes.size(), 14u);
  EXPECT_EQ(std::get<SetPrivateKey>(r.changes[0]).key.reveal()[0], 0xaa);
  EXPECT_EQ(std::get<SetListenPort>(r.changes[1]).port, 51820);
  EXPECT_EQ(std::get<SetFwmark>(r.changes[2]).mark, 4294967295u);
  EXPECT_TRUE(std::holds_alternative<ReplacePeers>(r.changes[3]));
  EXPECT_EQ(std::get<SelectPeer>(r.changes[4]).key.bytes[31], 0xbb);
  EXPECT_TRUE(std::holds_alternative<UpdateOnly>(r.changes[5]));
  EXPECT_FALSE(std::get<SetPresharedKey>(r.changes[6]).key.is_zero());
  EXPECT_EQ(std::get<SetEndpoint>(r.changes[7]).endpoint.port, 443);
  EXPECT_EQ(std::get<SetKeepalive>(r.changes[8]).interval.count(), 65535);
  EXPECT_TRUE(std::holds_alternative<ReplaceAllowedIps>(r.changes[9]));
  EXPECT_EQ(std::get<AllowIp>(r.changes[10]).prefix, *IpPrefix::parse("10.0.0.0/8"));
  EXPECT_EQ(std::get<AllowIp>(r.changes[11]).prefix.length, 0);
  EXPECT_EQ(std::get<DisallowIp>(r.changes[12]).prefix, *IpPrefix::parse("10.0.0.0/8"));
  EXPECT_TRUE(std::holds_alternative<RemovePeer>(r.changes[13]));
}

TEST(UapiSet, ZerosClearAPrivateKey) {
  EXPECT_TRUE(std::get<SetPrivateKey>(parse_set("private_key=" + kZero).changes[0]).key.is_zero());
}

TEST(UapiSet, RefusesWhatIsNotAsItShouldBe) {
  for (const char* body :
       {"listen_port=65536\n", "listen_port=-1\n", "listen_port=\n", "listen_port=5 \n", "listen_port=+5\n",
        "fwmark=4294967296\n", "fwmark=0x1\n", "replace_peers=false\n", "private_key=aa\n",
        "endpoint=192.0.2.1:5\n", "public_key=zz\n", "protocol_version=1\n", "errno=0\n", "=\n"})
    EXPECT_EQ(refusal_of(body), EINVAL) << body;
  for (const char* line :
       {"endpoint=192.0.2.1\n", "endpoint=[fe80::1%eth0]:5\n", "endpoint=example.org:5\n",
        "endpoint=192.0.2.1:65536\n", "allowed_ip=10.0.0.0\n", "allowed_ip=10.0.0.0/33\n",
        "allowed_ip=--10.0.0.0/8\n", "allowed_ip=\n", "persistent_keepalive_interval=65536\n",
        "persistent_keepalive_interval=off\n", "remove=1\n", "update_only=false\n", "replace_allowed_ips=\n",
        "preshared_key=0\n", "protocol_version=2\n", "listen_port=5\n", "last_handshake_time_sec=1\n"})
    EXPECT_EQ(refusal_of("public_key=" + kKey + "\n" + line), EINVAL) << line;
  EXPECT_EQ(refusal_of("listen_port\n"), EPROTO);
}

TEST(UapiSet, KeepsWhatStoodBeforeTheLineThatIsRefused) {
  const SetRequest r = parse_set("listen_port=5\nnonsense=1\nfwmark=7\n");
  EXPECT_EQ(r.refusal.number, EINVAL);
  EXPECT_EQ(r.changes.size(), 1u);
}

TEST(UapiSet, SaysWhyWithoutRepeatingAKey) {
  const SetRequest r = parse_set("private_key=" + std::string(63, 'c'));
  EXPECT_EQ(r.refusal.why.find("ccc"), std::string::npos);
  EXPECT_NE(r.refusal.why.find("64 hexadecimal digits"), std::string::npos);
}

TEST(UapiGet, PrintsADeviceAndItsPeersAsStockDevicesDo) {
  DeviceState d;
  EXPECT_EQ(print(d), "");
  d.private_key = PrivateKey(ByteArray<32>{1});
  d.listen_port = 51820;
  d.fwmark = 51820;
  PeerState p;
  p.key.bytes[0] = 2;
  p.endpoint = Endpoint::parse("[2001:db8::1]:5");
  p.last_handshake = wall_from_unix(1'750'000'000) + 7ns;
  p.rx_bytes = 10;
  p.tx_bytes = 11;
  p.persistent_keepalive = 25s;
  p.allowed_ips = {*IpPrefix::parse("10.0.0.0/8"), *IpPrefix::parse("::/0")};
  d.peers = {p};
  const std::string zeros(62, '0');
  EXPECT_EQ(print(d),
            "private_key=01" + zeros + "\nlisten_port=51820\nfwmark=51820\npublic_key=02" + zeros +
                "\npreshared_key=00" + zeros +
                "\nprotocol_version=1\nendpoint=[2001:db8::1]:5\nlast_handshake_time_sec=1750000000\n"
                "last_handshake_time_nsec=7\ntx_bytes=11\nrx_bytes=10\npersistent_keepalive_interval=25\n"
                "allowed_ip=10.0.0.0/8\nallowed_ip=::/0\n");
}

TEST(UapiGet, EndsWithANegativeErrorNumber) {
  EXPECT_EQ(print_errno(0), "errno=0\n\n");
  EXPECT_EQ(print_errno(EINVAL), "errno=-22\n\n");
}

}  // namespace
}  // namespace macrovpn::shell::uapi
