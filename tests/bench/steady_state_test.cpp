// The packet path once it is warm: no allocation and no lock at all, and far fewer calls to the kernel than packets.
// Real nodes, sockets and devices, driven batch by batch in one thread; time stands nearly still, so that no timer falls due.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>

#include "core/node/node_world_test.h"
#include "counted_calls.h"
#include "shell/driver/udp_socket.h"
#include "shell/namespace.h"
#include "shell/offload/naive_twin_test.h"
#include "shell/packet_device.h"
#include "shell/tun.h"
#include "shell/wireguard/device_world_test.h"

namespace macrovpn {
namespace {

using counted::Calls;
using counted::calls;

// A session's replay window doubles within its first 8192 packets up to its size, and no more.
constexpr size_t kBatch = 64, kWarmUp = 140, kRounds = 100;
constexpr uint16_t kEgressPort = 51821;

// Nothing of the heap, no lock; `kernel`: calls at most for a batch.
void expect_steady(const char* what, const Calls& c, size_t packets, double kernel_calls_a_packet) {
  const double n = static_cast<double>(packets);
  std::printf("%-34s %7zu packets: %zu allocations, %zu locks, %.3f kernel calls a packet\n", what, packets, c.allocations,
              c.locks, static_cast<double>(c.kernel) / n);
  EXPECT_EQ(c.allocations, 0u) << what;
  EXPECT_EQ(c.locks, 0u) << what;
  EXPECT_LE(static_cast<double>(c.kernel), kernel_calls_a_packet * n) << what;
}

// A circuit whose nodes hand each other their batches as they are, without the copies that TestWorld makes.
struct Chain : node::SmallNet {
  static constexpr TunId kTun{1};
  struct Box {
    Host* host;
    std::vector<node::Datagram> inbox;
    node::Effects fx;
  };
  std::vector<Box> boxes;
  PacketPool pool;
  std::vector<Packet> batch;
  std::vector<std::vector<uint8_t>> at_exit, at_program;  // the first packet that came out of each round
  size_t out = 0, in = 0;

  explicit Chain(size_t hops) : SmallNet({.hops = hops, .spare_circuits = 0}) {
    link = 1ms;
    publish();
    MV_ASSERT(connect(client(), kTun) != nullptr);
    run_for(10s);
    for (auto& [name, host] : hosts) {
      boxes.push_back({host.get(), {}, {}});
      boxes.back().inbox.reserve(8 * kBatch);
    }
    batch.reserve(kBatch);
  }
  ~Chain() {
    boxes.clear();
    batch.clear();
  }

  Box& box_of(const Host& h) {
    return *std::find_if(boxes.begin(), boxes.end(), [&](const Box& b) { return b.host == &h; });
  }
  void fill(Bytes packet) {
    batch.clear();
    for (size_t i = 0; i < kBatch; i++) batch.push_back(pool.copy_of(packet));
  }
  void post(Box& from) {
    for (node::Datagram& d : from.fx.datagrams) {
      const auto to = std::find_if(boxes.begin(), boxes.end(), [&](const Box& b) { return b.host->address == d.remote.address; });
      MV_ASSERT(to != boxes.end());
      const SocketId socket = d.remote.port == kEgressPort ? kEgressSocket : kListenSocket;
      const uint16_t port = d.socket == kEgressSocket ? kEgressPort : uint16_t{51820};
      to->inbox.push_back({socket, {from.host->address, port}, std::move(d.packet)});
    }
    from.fx.datagrams.clear();
  }
  // Until nothing is on its way.
  void carry() {
    for (bool moved = true; moved;) {
      moved = false;
      for (Box& b : boxes) post(b);
      for (Box& b : boxes) {
        if (b.inbox.empty()) continue;
        b.host->node->on_datagrams(now, b.inbox, b.fx);
        b.inbox.clear();
        moved = true;
      }
    }
    for (Box& b : boxes) {
      out += b.fx.exit_packets.size();
      in += b.fx.tun_packets.size();
    }
  }
  void clear() {
    for (Box& b : boxes) b.fx.exit_packets.clear(), b.fx.tun_packets.clear();
    now.mono += 1us;
  }
  void up(Bytes packet) {
    fill(packet);
    client().node->on_tun_packets(now, kTun, batch, box_of(client()).fx);
    carry();
  }
  void down(Host& exit, Bytes packet) {
    fill(packet);
    exit.node->on_exit_packets(now, batch, box_of(exit).fx);
    carry();
  }
};

struct SteadyState : testing::Test {
  void SetUp() override {
    if (!counted::counts_allocations()) GTEST_SKIP() << "a sanitizer has its own malloc, so nothing is counted";
  }
};

// An answer to an IPv4 packet: addresses change places, and sums stay as they are.
std::vector<uint8_t> answer_to(Bytes packet) {
  std::vector<uint8_t> p(packet.begin(), packet.end());
  std::swap_ranges(p.begin() + 12, p.begin() + 16, p.begin() + 16);
  std::swap_ranges(p.begin() + 20, p.begin() + 22, p.begin() + 22);
  return p;
}

TEST_F(SteadyState, NodesOfACircuitAllocateNothing) {
  for (const size_t hops : {size_t{1}, size_t{3}}) {
    Chain chain(hops);
    const auto packet = node::udp_packet("10.10.0.2", "192.0.2.1", 1300);
    chain.up(packet);
    ASSERT_EQ(chain.out, kBatch);
    const auto exit = std::find_if(chain.boxes.begin(), chain.boxes.end(), [](auto& b) { return !b.fx.exit_packets.empty(); });
    const auto answer = answer_to(exit->fx.exit_packets[0].bytes());
    chain.clear();
    Calls before;
    for (size_t i = 0; i < kWarmUp + kRounds; i++) {
      if (i == kWarmUp) before = calls(), chain.out = chain.in = 0;
      chain.up(packet);
      chain.clear();
      chain.down(*exit->host, answer);
      chain.clear();
    }
    const Calls c = calls() - before;
    ASSERT_EQ(chain.out, kBatch * kRounds);
    ASSERT_EQ(chain.in, kBatch * kRounds);
    expect_steady(hops == 1 ? "nodes, one hop, up and down" : "nodes, three hops, up and down", c, 2 * kBatch * kRounds, 0);
  }
}

TEST_F(SteadyState, PlainWireGuardAllocatesNothing) {
  PacketPool pool;
  SeededRng rng(1);
  const ByteArray<8> network{};
  Now now{Mono(1000s), wall_from_unix(1'790'000'000)};
  const KeyPair a_key = crypto::x25519_generate(rng), b_key = crypto::x25519_generate(rng);
  encryption::Tunnels a(a_key, network, ShardId{0}, pool, rng), b(b_key, network, ShardId{0}, pool, rng);
  const Route to_a = Route::udp(kListenSocket, *Endpoint::parse("192.0.2.1:1"), kPlain);
  const Route to_b = Route::udp(kListenSocket, *Endpoint::parse("192.0.2.2:1"), kPlain);
  const PeerRef peer_b = *a.add_configured(now.mono, {.key = b_key.pub, .route = to_b, .allowed_ips = {*IpPrefix::parse("10.10.0.0/16")}});
  static_cast<void>(b.add_configured(now.mono, {.key = a_key.pub, .route = {}, .allowed_ips = {*IpPrefix::parse("10.10.0.0/16")}}));
  encryption::Out out;
  const auto init = a.start_handshake(now, peer_b);
  ASSERT_TRUE(b.on_initiation(now, {to_a, 148, {}}, init->message, {}, out).ok());
  ASSERT_EQ(a.on_response(now, to_b, out.messages[0].packet.bytes(), out), encryption::Drop::none);
  const auto packet = node::udp_packet("10.10.0.2", "192.0.2.1", 1300);
  std::vector<Packet> packets(kBatch);
  std::vector<encryption::SealJob> seal(kBatch);
  std::vector<encryption::OpenJob> open(kBatch);
  size_t arrived = 0;
  Calls before;
  for (size_t i = 0; i < kWarmUp + kRounds; i++) {
    if (i == kWarmUp) before = calls(), arrived = 0;
    encryption::Out none;
    for (size_t k = 0; k < kBatch; k++) packets[k] = pool.copy_of(packet), seal[k] = {peer_b, &packets[k]};
    a.seal_batch(now, seal, none);
    for (size_t k = 0; k < kBatch; k++) open[k] = {&packets[k], to_a};
    b.open_batch(now, open, none);
    for (const auto& job : open) arrived += job.result == encryption::Drop::none;
    none.events.clear();
  }
  const Calls c = calls() - before;
  ASSERT_EQ(arrived, kBatch * kRounds);
  expect_steady("WireGuard, sealed and opened", c, kBatch * kRounds, 0);
}

TEST_F(SteadyState, SocketsAllocateNothingAndCallTheKernelOnceATrain) {
  PacketPool pool;
  const IpAddress local = *IpAddress::parse("127.0.0.1");
  auto from = shell::UdpSocket::open({local, 0}), to = shell::UdpSocket::open({local, 0});
  ASSERT_TRUE(from.ok() && to.ok());
  const Endpoint there{local, to->port()};
  const std::vector<uint8_t> bytes(1408, 7);
  std::vector<node::Datagram> batch, got;
  batch.reserve(kBatch);
  got.reserve(4 * kBatch);
  size_t arrived = 0;
  Calls before;
  for (size_t i = 0; i < kWarmUp + kRounds; i++) {
    if (i == kWarmUp) before = calls(), arrived = 0;
    batch.clear();
    for (size_t k = 0; k < kBatch; k++) batch.push_back({kListenSocket, there, pool.copy_of(bytes), {}});
    ASSERT_EQ(from->send(batch), kBatch);
    pollfd p{to->fd(), POLLIN, 0};
    for (got.clear(); got.size() < kBatch && poll(&p, 1, 2000) > 0;) to->receive(kListenSocket, pool, got);
    arrived += got.size();
  }
  const Calls c = calls() - before;
  ASSERT_EQ(arrived, kBatch * kRounds);
  const bool trains = from->offloads().trains_out && to->offloads().trains_in;
  // 46 of 1408 bytes fit a train, so a batch leaves in two, by one call, and comes in two.
  expect_steady("UDP sockets, sent and received", c, kBatch * kRounds, trains ? 4.0 / kBatch : 1.1);
}

// A device of two workers, whose packets all come to the other queue than their peer's worker has: read by one worker, copied to the
// other through a ring, sealed and sent there.  Both are driven by this thread, so that what each asks for is counted.
TEST_F(SteadyState, WorkersOfAWireGuardDeviceHandEachOtherPacketsWithoutALock) {
  shell::TestDevice hub(2), first, second;
  for (shell::TestDevice* d : {&hub, &first, &second}) d->up();
  const auto join = [&](shell::TestDevice& d, const std::string& address) {
    hub.set(d.name() + "allowed_ip=" + address + "/32\nendpoint=127.0.0.1:" + d.port() + "\n");
    d.set(hub.name() + "allowed_ip=10.0.0.0/24\n");
  };
  join(first, "10.0.0.1");
  join(second, "10.0.0.2");
  const auto packet = shell::packet("10.0.0.9", "10.0.0.2", 0, 1300);
  constexpr size_t kSome = 16;  // what a socket pair holds
  size_t arrived = 0;
  Calls c;
  for (size_t i = 0; i < kWarmUp + kRounds; i++) {
    if (i == kWarmUp) c = {}, arrived = 0;
    for (size_t k = 0; k < (i < 4 ? 1 : kSome); k++) hub.put(packet, 0);
    const Calls before = calls();
    hub.run();
    const Calls now = calls() - before;
    c = {c.allocations + now.allocations, c.locks + now.locks, c.kernel + now.kernel};
    for (int k = 0; k < 3; k++) second.reactor.run_once(Duration::zero());
    while (!second.take().empty()) arrived++;
  }
  ASSERT_EQ(arrived, kSome * kRounds);
  ASSERT_EQ(hub.count("worker_0_crossed"), kSome * (kWarmUp + kRounds - 4) + 4);
  // A socket pair gives a packet a read; then there is the look that finds no more.
  expect_steady("device, from worker to worker", c, kSome * kRounds, 2.0);
}

// A namespace that sends us 40 datagrams at once for each byte on the channel.
constexpr size_t kAnswers = 40;
int send_trains(int channel) {
  if (auto r = shell::enter_namespaces(shell::Mounts::inherited); !r) return shell::report_error(channel, r.error()), 1;
  auto device = shell::PacketDevice::create("mv0", shell::PacketDevice::Kind::tun);
  if (!device) return shell::report_error(channel, device.error()), 1;
  const shell::LinkSetup setup{1400, {{*IpAddress::parse("10.9.0.1"), 32}}};
  if (auto r = shell::configure_link("mv0", setup, "route add 10.9.0.2/32 dev mv0\n"); !r)
    return shell::report_error(channel, r.error()), 1;
  const int fd = device->fd(), udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(4000);
  a.sin_addr.s_addr = htonl(0x0a090002);
  if (connect(udp, reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0) return 1;
  const int size = 1372;
  const bool trains = setsockopt(udp, SOL_UDP, UDP_SEGMENT, &size, sizeof size) == 0;
  if (!shell::report_ready(channel, device->encode(), {&fd, 1})) return 1;
  const std::vector<uint8_t> bytes(kAnswers * static_cast<size_t>(size), 5);
  for (char c; ::recv(channel, &c, 1, 0) == 1;) {
    for (size_t i = 0; !trains && i < kAnswers; i++) static_cast<void>(::send(udp, bytes.data(), static_cast<size_t>(size), 0));
    if (trains) static_cast<void>(::send(udp, bytes.data(), bytes.size(), 0));
  }
  return 0;
}

TEST_F(SteadyState, DevicesAllocateNothingAndCallTheKernelOnceASuperpacket) {
  auto helper = shell::Helper::start(send_trains);
  ASSERT_TRUE(helper);
  auto report = shell::await_report(helper->channel());
  if (!report) GTEST_SKIP() << report.error().message;
  auto device = shell::PacketDevice::decode(std::move(report->fds[0]), report->body);
  ASSERT_TRUE(device);
  PacketPool pool;
  std::vector<Packet> packets;
  packets.reserve(4 * kBatch);
  size_t read = 0, written = 0;
  Calls reading, writing;
  for (size_t i = 0; i < kWarmUp + kRounds; i++) {
    if (i == kWarmUp) reading = writing = {}, read = written = 0;
    ASSERT_EQ(::send(helper->channel(), "x", 1, 0), 1);
    pollfd p{device->fd(), POLLIN, 0};
    packets.clear();
    Calls before = calls();
    while (packets.size() < kAnswers && poll(&p, 1, 2000) > 0) {
      ASSERT_EQ(device->read_packets(pool, packets, kBatch), shell::PacketDevice::Status::ok);
    }
    const Calls one = calls() - before;
    reading = {reading.allocations + one.allocations, reading.locks + one.locks, reading.kernel + one.kernel};
    read += packets.size();
    packets.clear();
    // A flow of TCP that nobody there wants: a superpacket, and perhaps a refusal of it, that the next read drops.
    shell::testing::InFlow flow;
    for (size_t k = 0; k < kAnswers; k++, flow.sequence += 1300, flow.id++) {
      packets.push_back(pool.copy_of(shell::testing::make_packet(flow, 1300)));
    }
    before = calls();
    written += device->write_packets(packets);
    const Calls two = calls() - before;
    writing = {writing.allocations + two.allocations, writing.locks + two.locks, writing.kernel + two.kernel};
    packets.clear();
    static_cast<void>(device->read_packets(pool, packets, kBatch));
  }
  EXPECT_GE(read, kAnswers * kRounds);
  EXPECT_EQ(written, kAnswers * kRounds);
  expect_steady("TUN, read", reading, read, device->offloads().udp ? 4.0 / kAnswers : 1.1);
  expect_steady("TUN, written", writing, written, device->offloads().tcp ? 2.0 / kAnswers : 1.0);
}

}  // namespace
}  // namespace macrovpn
