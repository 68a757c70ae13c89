// Writes the first inputs of the fuzz targets into corpus/TARGET/: real descriptors, builds, frames, packets
// and files, so that a target gets past signatures, lengths and checksums.  Run once by hand after a format
// changed:
//   build/fuzz/tests/fuzz/write_seeds tests/fuzz/corpus
#include "write_seeds.h"

#include <filesystem>
#include <fstream>

#include "core/encryption/header_mask.h"
#include "core/encryption/tunnels.h"
#include "core/peers/guard_set.h"
#include "core/peers/middle_set.h"
#include "core/peers/observations.h"
#include "core/routing/address_rewrite.h"
#include "core/routing/dns_message.h"
#include "core/routing/frames.h"
#include "core/routing/ip_reply.h"
#include "crypto/x25519.h"
#include "shell/config/key_store.h"
#include "shell/config/invite.h"
#include "shell/config/network_file.h"

namespace macrovpn::seeds {

namespace {
std::string folder;
}
SeededRng rng(1);
PacketPool pool;

void put(const std::string& target, const std::string& name, Bytes b) {
  std::filesystem::create_directories(folder + "/" + target);
  std::ofstream out(folder + "/" + target + "/" + name, std::ios::binary);
  out.write(reinterpret_cast<const char*>(b.data()), static_cast<std::streamsize>(b.size()));
}
void put(const std::string& target, const std::string& name, const std::string& text) {
  put(target, name, as_bytes(text));
}

RelayInfo relay() {
  RelayInfo r;
  r.wireguard = crypto::x25519_generate(rng).pub;
  r.prekey = crypto::x25519_generate(rng).pub;
  r.endpoints = {*Endpoint::parse("192.0.2.7:51820"), *Endpoint::parse("[2001:db8::7]:443")};
  r.flags.set(RelayFlag::guard);
  r.flags.set(RelayFlag::exit);
  r.region.code = {'N', 'O'};
  r.bandwidth = {12'500'000};
  r.as_number = 64500;
  r.created = kWall - std::chrono::hours(1000);
  return r;
}

// The exit's lease inside the middle's EXTEND inside the guard's: real messages, as a client nests them.
Buffer nested(bool trailer) {
  encryption::Tunnels client(crypto::x25519_generate(rng), {1}, ShardId{0}, pool, rng);
  Buffer frame = routing::write_lease({.mtu = 1376});
  for (int hop = 2;; hop--) {
    const auto key = crypto::x25519_generate(rng).pub, prekey = crypto::x25519_generate(rng).pub;
    const auto peer =
        client.add_hop(kNow.mono, {crypto::x25519_generate(rng), key,
                                   Route::udp(kListenSocket, *Endpoint::parse("192.0.2.1:1"), kPlain)});
    const auto init = client.start_handshake(kNow, *peer);
    const auto early = client.seal_early(kWall, *peer, prekey, frame);
    if (hop == 0) {
      Packet p = pool.copy_of(init->message);
      encryption::append_early(p, *early);
      const auto pair = encryption::PairKeys::derive({1}, crypto::x25519_generate(rng), key);
      if (trailer) encryption::append_trailer(p, *pair, {PeerId{{7}}, 1, 77});
      encryption::append_padding(p, rng, p.size() + 40);
      return {p.bytes().begin(), p.bytes().end()};
    }
    frame = routing::write_extend(PeerId{{9}}, 0, routing::write_element(init->message, {77}, *early));
    put("fuzz_control_frames", "extend-" + std::to_string(hop), frame);
  }
}

namespace {

void handshakes() {
  for (const bool trailer : {false, true}) {
    Buffer d = nested(trailer);
    put("fuzz_handshake_datagram", trailer ? "forwarded" : "build", d);
    encryption::MaskKey({1}, PublicKey{{2}}).mask_handshake(d);
    put("fuzz_handshake_datagram", trailer ? "forwarded-masked" : "build-masked", d);
  }
  for (const auto& [type, size] : {std::pair<uint32_t, size_t>{1, 148}, {2, 110}, {3, 70}, {4, 64}}) {
    Buffer d(size);
    rng.fill(d);
    store_le32(d.data(), type);
    put("fuzz_handshake_datagram", "type-" + std::to_string(type), d);
  }
}

void frames() {
  using namespace routing;
  Buffer all = write_lease({.flags = kLeaseResume, .mtu = 1280});
  for (const Buffer& f :
       {write_error(ErrorCode::full, {7}), write_close({7}), write_ping(FrameType::ping, {5, 40}),
        write_ping(FrameType::pong, {5, 0}), write_granted({LeaseId{1}, Secret<32>(), kGrantedV4, 1376}),
        write_lease_id(FrameType::moved, LeaseId{1}), write_lease_id(FrameType::release, LeaseId{1}),
        write_bind(ByteArray<32>{3}), write_bound({})}) {
    put("fuzz_control_frames", "type-" + std::to_string(f[0]), f);
    all.insert(all.end(), f.begin(), f.end());
  }
  all.resize(all.size() + 9);
  put("fuzz_control_frames", "all", all);
}

void ip_packets() {
  using namespace routing;
  for (const bool v6 : {false, true}) {
    const auto& inside = InsideAddresses::get();
    const IpAddress from = v6 ? inside.client6 : inside.client4;
    const IpAddress to = *IpAddress::parse(v6 ? "2001:db8::9" : "192.0.2.9");
    for (const auto& [name, protocol, size] :
         {std::tuple{"udp", IpProtocol::udp, size_t{28}},
          {"tcp", IpProtocol::tcp, size_t{24}},
          {"icmp", v6 ? IpProtocol::icmpv6 : IpProtocol::icmp, size_t{36}}}) {
      Packet p = pool.take();
      const MutBytes b = start_ip(from, to, protocol, size, p);
      rng.fill(b);
      if (protocol == IpProtocol::udp) store_be16(&b[4], static_cast<uint16_t>(size));
      if (protocol == IpProtocol::tcp) {
        b[12] = 0x60;  // a SYN with an MSS
        b[13] = 2;
        store_be32(&b[20], 0x020405b4);
      }
      if (protocol == IpProtocol::icmp) b[0] = 8;
      if (protocol == IpProtocol::icmpv6) b[0] = 128;
      finish_ip(p);
      put("fuzz_ip_packet", name + std::string(v6 ? "6" : "4"), p.bytes());
      Buffer device{v6 ? uint8_t{2} : uint8_t{1}};
      device.resize(13);
      device.insert(device.end(), p.bytes().begin(), p.bytes().end());
      put("fuzz_packet_device", name + std::string(v6 ? "-veth" : "-tun"), device);
    }
  }
}

void dns() {
  using namespace routing;
  DnsMessage m;
  m.id = 7;
  m.question = {*DnsName::parse("example.org"), kDnsA};
  m.edns_udp_size = 1232;
  const Buffer query = encode_dns(m, 65535);
  put("fuzz_dns_message", "query", query);
  DnsRecord a{*DnsName::parse("example.org"), kDnsA};
  a.data = {192, 0, 2, 7};
  a.ttl = 300;
  m.records[0] = {a, a};
  const Buffer answer = encode_dns(m, 65535);
  put("fuzz_dns_message", "answer", answer);
  Buffer both{128};
  both.insert(both.end(), query.begin(), query.end());
  both.insert(both.end(), answer.begin(), answer.end());
  put("fuzz_dns_message", "both", both);
}

void files() {
  peers::GuardSet guards;
  for (uint8_t i = 0; i < 5; i++) static_cast<void>(guards.add(PeerId{{i, 1}}, kWall));
  put("fuzz_saved_sets", "five", guards.save());
  peers::MiddleSet middles;
  for (uint8_t i = 0; i < 5; i++) middles.add(PeerId{{i, 1}}, kWall, rng);
  put("fuzz_saved_sets", "middles", middles.save());
  peers::Observations seen;
  for (uint8_t i = 0; i < 5; i++) seen.worked(PeerId{{1, i}}, kWall);
  seen.round_trip(PeerId{{1, 0}}, 30ms, peers::Observations::Way::direct);
  put("fuzz_observations", "five", seen.save());
  const auto with = [](char kind, const std::string& text) { return std::string(1, kind) + text; };
  const auto key = crypto::ed25519_generate(rng);
  Network n;
  n.name = "lab";
  n.signed_at = kWall;
  n.seeds = {{{{1}}, {{2}}, {*Endpoint::parse("192.0.2.1:51820")}}};
  n.extra_global = {*IpPrefix::parse("192.0.2.0/24")};
  const std::string network = shell::sign_network_file(n, key);
  put("fuzz_config_files", "invite", with(5, *shell::to_link({*shell::parse_network_file(network, ""), *shell::signature_without_seeds(network), n.seeds})));
  put("fuzz_config_files", "network", with(2, network));
  std::string unsigned_network = network.substr(0, network.rfind("signature"));
  const std::string key64 = to_base64(key.pub.bytes);
  unsigned_network.replace(unsigned_network.find(key64), key64.size(), "KEY");
  put("fuzz_config_files", "network-unsigned", with(2, unsigned_network));
  put("fuzz_config_files", "toml",
      with(0,
           "a = 1\nb = \"x\\u0041\\n\"\nc = true\nd = [\"p\", 'q']\n[t]\ne = -5 # c\n[t.u]\nf = "
           "\"\"\"\nm\"\"\"\n"));
  put("fuzz_config_files", "settings",
      with(1,
           "[client]\nmode = \"balanced\"\nhops = 2\nexit_region = \"NO\"\n[relay]\nbandwidth = \"100 "
           "Mbit/s\"\n"
           "listen = [\"0.0.0.0:51820\", \"[::]:443\"]\nexit = true\nexit_kind = \"kernel\"\n"));
  put("fuzz_config_files", "keys",
      with(3, "macrovpn keys 1\nidentity " + std::string(64, 'a') + "\nwireguard " + std::string(64, '1') +
                  "\ncreated 1790000000\n"));
  put("fuzz_config_files", "signing-key",
      with(3, "macrovpn signing key 1\nseed " + std::string(64, 'f') + "\n"));
  const auto backup = shell::backup_keys(shell::generate_keys(rng, kWall), "a passphrase", rng,
                                         {.passes = 1, .memory_kib = 64});
  put("fuzz_config_files", "backup", with(4, *backup));
  put("fuzz_config_files", "bandwidth", with(4, "100 Mbit/s"));
  for (const char* a : {"192.0.2.1", "192.0.2.0/24", "192.0.2.1:51820", "[2001:db8::1]:443", "2001:db8::/32",
                        "::ffff:192.0.2.1", "fe80::1", "64:ff9b::102:304"}) {
    std::string name(a);
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c == '/' || c == ':'; }, '_');
    put("fuzz_addresses", name, std::string(a));
  }
}

void control() {
  const std::string call = "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":";
  put("fuzz_control_socket", "echo",
      std::string(1, 0) + call + "\"echo\",\"params\":{\"a\":[1,{\"b\":\"\\u00e9\"}]}}\n");
  put("fuzz_control_socket", "fail", std::string(1, 2) + call + "\"fail\",\"params\":{\"why\":\"no\"}}\n");
  put("fuzz_control_socket", "hello",
      std::string(1, 1) + call + "\"hello\",\"params\":{\"version\":1,\"events\":true}}\n" + call +
          "\"x\"}\n");
  put("fuzz_control_socket", "attach",
      std::string(1, '\xc0') + call + "\"attach\",\"params\":{\"device\":\"01000000000000000000000000\"}}\n" + call +
          "\"attach\",\"params\":{\"device\":\"zz\"}}\n");
  put("fuzz_control_socket", "broken", std::string(1, 4) + "{\n[]\n{\"jsonrpc\":\"2.0\",\"id\":{}}\n\n\"\n");
}

// What `macrovpn up` and the relay keep, and read of the system.
void system_files() {
  const auto with = [](char kind, const std::string& text) { return std::string(1, kind) + text; };
  put("fuzz_system_files", "name-servers",
      with(0, "# comment\nsearch lan\nnameserver 192.0.2.53\nnameserver 2001:db8::53\noptions edns0\n"));
  for (const auto& [kind, hex] : {std::pair{"nothing", ""}, {"file", "6e616d65736572766572"}, {"link", "2f746d70"}})
    put("fuzz_system_files", std::string("kept-") + kind,
        with(1, std::string("{\"contents\":\"") + hex + "\",\"group\":0,\"kind\":\"" + kind +
                    "\",\"mode\":420,\"owner\":0}"));
  put("fuzz_system_files", "original", with(2, "nameserver 192.0.2.53\n"));
  put("fuzz_system_files", "traffic",
      with(3, "macrovpn traffic 1\nday 20416\nmonth 20400\nday_bytes 5\nmonth_bytes 70\ntotal_bytes 900\n"));
  for (const char* text : {"22:00-07:00", "500 GB", "64 MiB", "100 Mbit/s"})
    put("fuzz_system_files", std::string("quantity-") + text[0] + text[1], with(4, text));
  put("fuzz_system_files", "nft",
      with(5, "{\"nftables\":[{\"metainfo\":{}},{\"counter\":{\"name\":\"ipv4\",\"packets\":3,\"bytes\":200}}]}"));
}

// Scripts: see the step() of each target.
void scripts() {
  // A circuit, packets both ways, a hop, packets, an outage, a rebuild.
  const Buffer life{0, 15, 15, 15, 6, 20, 15, 7, 15, 11, 15, 15, 6,  50, 15, 7,  15, 5,  255, 15, 6,
                    9, 2,  2,  2,  5, 50, 15, 5, 50, 15, 6,  9,  15, 7,  15, 12, 15, 15, 6,   30, 15};
  for (uint8_t options = 0; options < 8; options++) {
    Buffer s = life;
    s[0] = options;
    put("fuzz_nodes", "life-" + std::to_string(options), s);
  }
  put("fuzz_nodes", "bent",
      Buffer{0, 3, 1, 20, 0, 0, 15, 3, 2, 90, 0, 0, 1, 0, 17, 15, 15, 3, 4, 160, 0, 15, 5, 30, 15});
  put("fuzz_nodes", "restart",
      Buffer{0, 15, 15, 29, 15, 6, 20, 15, 5, 100, 15, 77, 15, 5, 100, 15, 6, 20, 15, 7, 15});
  put("fuzz_nodes", "frames", Buffer{0,  15, 15, 8, 40, 8, 1,  2, 3, 4, 5, 6, 7, 8, 15, 8,
                                     72, 4,  0,  0, 0,  0, 15, 9, 5, 4, 8, 0, 0, 0, 15});
  // how, how many descriptors, length 2, body
  put("fuzz_passed_descriptors", "report", Buffer{2, 1, 3, 0, 'R', 1, 2, 2, 0, 4, 0, 'E', 'n', 'o', '!'});
  put("fuzz_passed_descriptors", "one", Buffer{1, 1, 1, 0, 0, 1, 2, 1, 0, 0, 0, 0, 0, 0});
  put("fuzz_passed_descriptors", "device", Buffer{3, 65, 13, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  // Two questions in pieces; answers by UDP, by TCP after a cut one, and none.
  put("fuzz_dns_service", "udp", Buffer{1, 5, 9, 20, 3, 0, 3, 4, 3, 1, 2, 3});
  put("fuzz_dns_service", "tcp", Buffer{1, 7, 3, 1, 5, 0, 5, 0, 5, 1, 4, 0, 2, 9, 9});
  put("fuzz_dns_service", "raw", Buffer{0, 4, 0, 12, 0, 1, 1, 3, 14, 6, 7, 3, 2, 22});
  put("fuzz_relay_operations", "lease",
      Buffer{1, 0, 0, 1, 1, 50, 2, 0, 3, 0, 0, 0, 2, 0, 6, 100, 3, 0, 1, 0, 7, 0, 6, 255, 6, 255});
  put("fuzz_relay_operations", "extend", Buffer{1, 0, 0,  1, 0x12, 255, 0, 1, 3, 0x12, 255, 4,    0, 2, 0, 4,
                                                0, 0, 10, 4, 0,    1,   0, 2, 0, 3,    0,   0x16, 0, 6, 60});
  put("fuzz_relay_operations", "chain",
      Buffer{1, 5, 0, 2, 1, 0, 5, 1, 5, 2, 0, 5, 1, 3, 2, 0, 6, 255, 0, 2, 3, 0x52, 9, 7, 3});
}

void devices() {
  const std::string key = " " + std::string(43, 'A') + "=", other = " " + std::string(42, 'A') + "E=";
  put("fuzz_devices", "file", std::string(1, 0) + "macrovpn devices 1\nphone" + key + key + "\na+b" + other + key + "\n");
  int n = 0;
  for (const char* e : {"vpn.example.org:51821", "203.0.113.5", "[2001:db8::5]:51821", "2001:db8::5"})
    put("fuzz_devices", "endpoint-" + std::to_string(++n), std::string(1, 1) + e);
  put("fuzz_devices", "code", std::string(1, 2) + "[Interface]\nPrivateKey = " + key);
}

}  // namespace
}  // namespace macrovpn::seeds

int main(int argc, char** argv) {
  using namespace macrovpn::seeds;
  if (argc != 2) return 2;
  folder = argv[1];
  discovery_seeds();
  handshakes();
  frames();
  ip_packets();
  dns();
  files();
  control();
  system_files();
  scripts();
  devices();
  return 0;
}
