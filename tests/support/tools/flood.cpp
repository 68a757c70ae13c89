// netlab-flood: sends initiations to a relay as fast as asked, as an attacker would, and says what that cost.
//
//   netlab-flood --descriptor FILE --network FILE --to ADDRESS:PORT --from PREFIX --rate N --seconds S --kind KIND
//
//   macked   an initiation's size and a right mac1, all else random: it costs the relay a Diffie-Hellman unless it asks for a
//            cookie first.  Costs the attacker a hash.
//   builds   the same with the size of a three-hop build
//   noise    random bytes
//
// The datagrams are made and masked before the start, so that the sender's time is all sending.  Sources are drawn from
// PREFIX, whose addresses this host must have (`ip route add local PREFIX dev lo`); rate 0: as fast as it goes.  Prints JSON.
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "core/discovery/descriptor.h"
#include "core/encryption/cookie.h"
#include "core/encryption/header_mask.h"
#include "shell/clock.h"
#include "shell/config/network_file.h"

namespace {

using namespace macrovpn;

constexpr size_t kDatagrams = 8192;  // made once, sent again and again from other addresses
constexpr size_t kBatch = 64;
constexpr size_t kBuildSize = 600;

std::vector<uint8_t> read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "netlab-flood: %s\n", why.c_str());
  std::exit(2);
}

std::vector<Packet> make(const std::string& kind, const RelayInfo& relay, const NetworkId& network, Rng& rng,
                         PacketPool& pool) {
  const encryption::MaskKey mask(network.bytes, relay.wireguard);
  std::vector<Packet> out;
  for (size_t i = 0; i < kDatagrams; i++) {
    Packet p = pool.take();
    rng.fill({p.push_back(encryption::kInitiationSize), encryption::kInitiationSize});
    if (kind != "noise") {
      const uint8_t type[4] = {1, 0, 0, 0};
      std::copy(type, type + 4, p.data());
      encryption::write_macs(p.bytes(), relay.wireguard, nullptr);
      encryption::append_early(p, {});
      if (kind == "builds") encryption::append_padding(p, rng, kBuildSize);
      mask.mask(p.bytes());
    }
    out.push_back(std::move(p));
  }
  return out;
}

double cpu_seconds() {
  rusage u;
  getrusage(RUSAGE_SELF, &u);
  const auto s = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; };
  return s(u.ru_utime) + s(u.ru_stime);
}

struct Target {
  sockaddr_in to{};
  uint32_t first_source = 0, sources = 1;
};

// One sendmmsg of datagrams from drawn addresses.
size_t send_batch(int socket, const Target& t, std::span<Packet> packets, size_t at, Rng& rng) {
  mmsghdr messages[kBatch]{};
  iovec vectors[kBatch];
  alignas(cmsghdr) uint8_t control[kBatch][CMSG_SPACE(sizeof(in_pktinfo))]{};
  for (size_t i = 0; i < kBatch; i++) {
    Packet& p = packets[(at + i) % packets.size()];
    vectors[i] = {p.data(), p.size()};
    msghdr& m = messages[i].msg_hdr;
    m.msg_name = const_cast<sockaddr_in*>(&t.to);
    m.msg_namelen = sizeof t.to;
    m.msg_iov = &vectors[i];
    m.msg_iovlen = 1;
    m.msg_control = control[i];
    m.msg_controllen = sizeof control[i];
    cmsghdr* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
    in_pktinfo info{};
    info.ipi_spec_dst.s_addr = htonl(t.first_source + static_cast<uint32_t>(rng.below(t.sources)));
    std::memcpy(CMSG_DATA(c), &info, sizeof info);
  }
  const int n = sendmmsg(socket, messages, kBatch, 0);
  return n > 0 ? static_cast<size_t>(n) : 0;
}

void wait_until(Mono when) {
  const Duration left = when - shell::read_clocks().mono;
  if (left > Duration::zero()) usleep(static_cast<useconds_t>(left / std::chrono::microseconds(1)));
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> o;
  for (int i = 1; i + 1 < argc; i += 2) o[argv[i]] = argv[i + 1];
  const auto to = Endpoint::parse(o["--to"]);
  const auto from = IpPrefix::parse(o["--from"]);
  if (!to || !from || !to->address.is_v4() || !from->address.is_v4()) give_up("needs --to and --from, IPv4");
  const auto network = shell::read_network_file(o["--network"]);
  if (!network) give_up(network.error().message);
  const auto relay =
      discovery::verify_descriptor(read_all(o["--descriptor"]), network->id, shell::read_clocks().wall);
  if (!relay) give_up(relay.error().message);

  PacketPool pool;
  SeededRng rng(static_cast<uint64_t>(shell::read_clocks().mono.time_since_epoch().count()));
  std::vector<Packet> packets = make(o["--kind"], *relay, network->id, rng, pool);
  Target t;
  t.to.sin_family = AF_INET;
  t.to.sin_port = htons(to->port);
  t.to.sin_addr.s_addr = htonl(to->address.v4_host_order());
  t.first_source = from->address.v4_host_order();
  t.sources = 1u << (32 - from->length);
  const int s = socket(AF_INET, SOCK_DGRAM, 0);
  const double rate = std::stod(o["--rate"]), seconds = std::stod(o["--seconds"]);
  const double cpu_before = cpu_seconds();
  const Mono start = shell::read_clocks().mono;
  size_t sent = 0, tried = 0;
  for (double at = 0; at < seconds;) {
    sent += send_batch(s, t, packets, tried, rng);
    tried += kBatch;
    if (rate > 0)
      wait_until(start + std::chrono::nanoseconds(static_cast<int64_t>(static_cast<double>(tried) / rate * 1e9)));
    at = static_cast<double>((shell::read_clocks().mono - start).count()) * 1e-9;
  }
  std::printf("{\"sent\": %zu, \"seconds\": %.3f, \"cpu_s\": %.3f}\n", sent, seconds, cpu_seconds() - cpu_before);
  return 0;
}
