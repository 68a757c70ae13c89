#include "shell/packet_device.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shell/namespace.h"
#include "shell/offload/naive_twin_test.h"
#include "shell/tun.h"

namespace {
int superpackets_fail_with = 0;  // an errno; 0: the kernel decides
}

// Stands before the C library's: what is written to a TUN.
extern "C" ssize_t pwritev2(int fd, const iovec* parts, int n, off_t offset, int flags) {
  if (superpackets_fail_with != 0 && n > 2) {
    errno = superpackets_fail_with;
    return -1;
  }
  return syscall(SYS_pwritev2, fd, parts, n, offset, 0, flags);
}

namespace macrovpn::shell {
namespace {

// A helper whose namespace answers pings at 10.9.0.1 and fd09::1 through a device that it passes out.
int answer_pings(int channel, PacketDevice::Kind kind) {
  if (auto r = enter_namespaces(Mounts::inherited); !r) return report_error(channel, r.error()), 1;
  auto device = PacketDevice::create("mv0", kind);
  if (!device) return report_error(channel, device.error()), 1;
  const LinkSetup setup{1400, {{*IpAddress::parse("10.9.0.1"), 32}, {*IpAddress::parse("fd09::1"), 128}}};
  if (auto r = configure_link("mv0", setup, "route add 10.9.0.2/32 dev mv0\nroute add fd09::2/128 dev mv0\n");
      !r)
    return report_error(channel, r.error()), 1;
  const int fd = device->fd();
  if (!report_ready(channel, device->encode(), {&fd, 1})) return 1;
  char c;
  return recv(channel, &c, 1, 0) == 0 ? 0 : 1;
}

constexpr uint8_t kPing4[] = {0x45, 0, 0,  28, 0, 0, 0, 0, 64,   1,    0x66, 0xcd, 10, 9,
                              0,    2, 10, 9,  0, 1, 8, 0, 0xf7, 0xfd, 0,    1,    0,  1};

// The same with two queues; 10.9.0.2 to 10.9.0.31 are behind them.
int answer_pings_by_queues(int channel) {
  if (auto r = enter_namespaces(Mounts::inherited); !r) return report_error(channel, r.error()), 1;
  auto queues = open_tun_queues("mv0", 2);
  if (!queues) return report_error(channel, queues.error()), 1;
  if (open_tun_queues("mv0", 2)) return report_error(channel, Error{"a device that was there got more queues"}), 1;
  const LinkSetup setup{1400, {{*IpAddress::parse("10.9.0.1"), 32}}};
  if (auto r = configure_link("mv0", setup, "route add 10.9.0.0/27 dev mv0\n"); !r)
    return report_error(channel, r.error()), 1;
  const int fds[] = {(*queues)[0].get(), (*queues)[1].get()};
  if (!report_ready(channel, {}, fds)) return 1;
  char c;
  return recv(channel, &c, 1, 0) == 0 ? 0 : 1;
}

class PacketDevices : public ::testing::TestWithParam<PacketDevice::Kind> {};

TEST(TunQueues, GiveAFlowsAnswersToTheQueueThatSentIt) {
  auto helper = Helper::start([](int channel) { return answer_pings_by_queues(channel); });
  ASSERT_TRUE(helper);
  auto report = await_report(helper->channel());
  ASSERT_TRUE(report || report.error().message.find("more queues") == std::string::npos) << report.error().message;
  if (!report) GTEST_SKIP() << report.error().message;
  ASSERT_EQ(report->fds.size(), 2u);
  PacketDevice queues[2] = {{std::move(report->fds[0]), {}}, {std::move(report->fds[1]), {}}};
  PacketPool pool;
  for (uint8_t host = 2; host < 26; host++) {
    const size_t ours = host % 2;
    ByteArray<28> ping;
    std::copy(std::begin(kPing4), std::end(kPing4), ping.begin());
    ping[15] = host;
    store_be16(&ping[10], static_cast<uint16_t>(0x66cd - (host - 2)));
    // The kernel answers the first one before it has noted where the flow comes from.
    for (const bool noted : {false, true}) {
      ASSERT_TRUE(queues[ours].write_packet(ping));
      pollfd p[2] = {{queues[0].fd(), POLLIN, 0}, {queues[1].fd(), POLLIN, 0}};
      ASSERT_EQ(poll(p, 2, 2000), 1);
      EXPECT_TRUE(!noted || p[ours].revents != 0) << int{host};
      std::vector<Packet> out;
      for (PacketDevice& q : queues) ASSERT_EQ(q.read_packets(pool, out, 8), PacketDevice::Status::ok);
      ASSERT_EQ(out.size(), 1u);
      EXPECT_EQ(out[0].data()[19], host);
    }
  }
}

TEST_P(PacketDevices, CarriesPacketsBetweenANamespaceAndUs) {
  auto helper = Helper::start([](int channel) { return answer_pings(channel, GetParam()); });
  ASSERT_TRUE(helper);
  auto report = await_report(helper->channel());
  if (!report && report.error().message.find("/dev/net/tun") != std::string::npos)
    GTEST_SKIP() << report.error().message;
  if (!report && report.error().message.find("user namespaces") != std::string::npos)
    GTEST_SKIP() << report.error().message;
  ASSERT_TRUE(report) << report.error().message;
  ASSERT_EQ(report->fds.size(), 1u);
  auto device = PacketDevice::decode(std::move(report->fds[0]), report->body);
  ASSERT_TRUE(device);
  EXPECT_EQ(device->kind(), GetParam());

  PacketPool pool;
  std::vector<Packet> out;
  ASSERT_TRUE(device->write_packet(kPing4));
  for (int i = 0; i < 50 && out.empty(); i++) {
    pollfd p{device->fd(), POLLIN, 0};
    poll(&p, 1, 100);
    ASSERT_EQ(device->read_packets(pool, out, 8), PacketDevice::Status::ok);
  }
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].size(), sizeof kPing4);
  EXPECT_EQ(out[0].data()[20], 0);  // echo reply
  EXPECT_TRUE(equal(out[0].bytes().subspan(16, 4), Bytes(kPing4).subspan(12, 4)));
  EXPECT_FALSE(device->write_packet(as_bytes("neither version 4 nor 6")));
}

// Who passed it still has a copy, and may take O_NONBLOCK from both.
TEST_P(PacketDevices, IsReadWithoutWaitingWhateverItsSenderSays) {
  auto helper = Helper::start([](int channel) { return answer_pings(channel, GetParam()); });
  ASSERT_TRUE(helper);
  auto report = await_report(helper->channel());
  if (!report) GTEST_SKIP() << report.error().message;
  auto device = PacketDevice::decode(std::move(report->fds.at(0)), report->body);
  ASSERT_TRUE(device);
  ASSERT_EQ(fcntl(device->fd(), F_SETFL, fcntl(device->fd(), F_GETFL) & ~O_NONBLOCK), 0);
  uint8_t none[64];
  const iovec io{none, sizeof none};
  if (preadv2(device->fd(), &io, 1, -1, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP)
    GTEST_SKIP() << "this kernel's TUN knows no RWF_NOWAIT";
  alarm(10);  // ends the test program, if it waits
  PacketPool pool;
  std::vector<Packet> out;
  EXPECT_EQ(device->read_packets(pool, out, 8), PacketDevice::Status::ok);
  alarm(0);
}

TEST(ATunDevice, TakesThePacketsOfASuperpacketThatTheKernelRefuses) {
  auto helper = Helper::start([](int channel) { return answer_pings(channel, PacketDevice::Kind::tun); });
  ASSERT_TRUE(helper);
  auto report = await_report(helper->channel());
  if (!report) GTEST_SKIP() << report.error().message;
  auto device = PacketDevice::decode(std::move(report->fds.at(0)), report->body);
  ASSERT_TRUE(device);
  if (!device->offloads().tcp) GTEST_SKIP() << "this kernel's TUN takes no superpackets";
  PacketPool pool;
  const auto write_with = [&](int error) {
    std::vector<Packet> batch;
    testing::InFlow flow;
    for (int i = 0; i < 10; i++, flow.sequence += 1300, flow.id++) batch.push_back(pool.copy_of(testing::make_packet(flow, 1300)));
    superpackets_fail_with = error;
    const size_t taken = device->write_packets(batch);
    superpackets_fail_with = 0;
    return taken;
  };
  const uint64_t before = device->carried().in;
  EXPECT_EQ(write_with(EINVAL), 10u);
  EXPECT_EQ(device->carried().in - before, 10u * (1300 + 52));
  EXPECT_EQ(write_with(ENOBUFS), 10u);
  EXPECT_EQ(write_with(EAGAIN), 0u);  // full: what is smaller finds no place either
  EXPECT_EQ(write_with(0), 10u);
}

TEST_P(PacketDevices, RefuseADescriptorThatIsNone) {
  ByteArray<PacketDevice::kStateSize> state{static_cast<uint8_t>(GetParam())};
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const Fd far(ends[1]);
  EXPECT_FALSE(PacketDevice::decode(Fd(ends[0]), state)) << "a pipe";
  EXPECT_FALSE(PacketDevice::decode(Fd(memfd_create("file", MFD_CLOEXEC)), state)) << "a file";
  EXPECT_FALSE(PacketDevice::decode(Fd(open("/dev/null", O_RDWR | O_CLOEXEC)), state)) << "a device of another kind";
  EXPECT_FALSE(PacketDevice::decode(Fd(open("/", O_RDONLY | O_CLOEXEC)), state)) << "a folder";
  EXPECT_FALSE(PacketDevice::decode(Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), state)) << "a socket";
  EXPECT_FALSE(PacketDevice::decode(Fd(), state)) << "nothing";
}

INSTANTIATE_TEST_SUITE_P(Both, PacketDevices,
                         ::testing::Values(PacketDevice::Kind::tun, PacketDevice::Kind::veth));

TEST(FdPassing, ADescriptorArrivesWithItsBody) {
  auto pair = make_fd_channel();
  ASSERT_TRUE(pair);
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  Fd in(pipe_fds[0]), out(pipe_fds[1]);
  const int fd = out.get();
  ASSERT_TRUE(send_fds(pair->a.get(), as_bytes("hello"), {&fd, 1}));
  auto m = recv_fds(pair->b.get());
  ASSERT_TRUE(m);
  EXPECT_TRUE(equal(m->body, as_bytes("hello")));
  ASSERT_EQ(m->fds.size(), 1u);
  ASSERT_EQ(write(m->fds[0].get(), "x", 1), 1);
  char c = 0;
  EXPECT_EQ(read(in.get(), &c, 1), 1);
  EXPECT_EQ(c, 'x');
  pair->a.reset();
  EXPECT_FALSE(recv_fds(pair->b.get()));
}

// A message without a body may have descriptors all the same.
TEST(FdPassing, DescriptorsOfAMessageThatIsRefusedAreClosed) {
  auto pair = make_fd_channel();
  ASSERT_TRUE(pair);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const Fd in(ends[0]);
  Fd out(ends[1]);
  msghdr m{};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  cmsghdr* h = CMSG_FIRSTHDR(&m);
  h->cmsg_level = SOL_SOCKET;
  h->cmsg_type = SCM_RIGHTS;
  h->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = out.get();
  std::memcpy(CMSG_DATA(h), &fd, sizeof fd);
  ASSERT_EQ(sendmsg(pair->a.get(), &m, 0), 0);
  EXPECT_FALSE(recv_fds(pair->b.get()));
  out.reset();
  pollfd p{in.get(), POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, 0), 1) << "somebody still holds the other end";
}

TEST(RunTool, SaysWhatFailed) {
  EXPECT_TRUE(run_tool({"true"}, ""));
  EXPECT_NE(run_tool({"no-such-program"}, "").error().message.find("not installed"), std::string::npos);
  EXPECT_NE(run_tool({"sh", "-c", "echo too bad >&2; exit 3"}, "").error().message.find("too bad"),
            std::string::npos);
}

}  // namespace
}  // namespace macrovpn::shell
