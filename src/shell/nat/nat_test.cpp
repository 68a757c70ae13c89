#include <gtest/gtest.h>
#include <sys/resource.h>

#include "shell/nat/default_router.h"
#include "shell/nat/upnp_job.h"

namespace macrovpn::shell {
namespace {

TEST(DefaultRouter, IsTheGatewayWithTheLowestMetric) {
  const std::string head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
  const auto row = [](const char* destination, const char* gateway, const char* flags, const char* metric, const char* mask) {
    return std::string("eth0\t") + destination + "\t" + gateway + "\t" + flags + "\t0\t0\t" + metric + "\t" + mask + "\t0\t0\t0\n";
  };
  const std::string any = "00000000";
  EXPECT_FALSE(gateway_in(head));
  EXPECT_FALSE(gateway_in(head + row("0001A8C0", "00000000", "0001", "0", "00FFFFFF"))) << "its own network";
  EXPECT_FALSE(gateway_in(head + row("00000000", "00000000", "0001", "0", "00000000"))) << "a link without a gateway";
  EXPECT_EQ(gateway_in(head + row("00000000", "FE01A8C0", "0003", "600", "00000000") + row("00000000", "0101A8C0", "0003", "100", "00000000")),
            *IpAddress::parse("192.168.1.1"));
  EXPECT_FALSE(gateway_in(head + row("00000000", "0101A8C0", "0003", "0", "00000080"))) << "half of the Internet";
  EXPECT_FALSE(gateway_in("eth0 x y z\n\n"));
}

using What = discovery::UpnpTold::What;

TEST(UpnpLine, SaysWhatTheHelperSaid) {
  const auto added = parse_upnp_line("added 51820 203.0.113.10\n");
  EXPECT_EQ(added.what, What::added);
  EXPECT_EQ(added.outside_port, 51820);
  EXPECT_EQ(added.outside, *IpAddress::parse("203.0.113.10"));
  EXPECT_FALSE(parse_upnp_line("added 51820 0.0.0.0\n").outside);
  EXPECT_EQ(parse_upnp_line("refused 718\n").what, What::refused);
}

TEST(UpnpLine, AnythingElseIsSilence) {
  for (const char* line : {"", "no-router\n", "added", "added \n", "added 0 203.0.113.10\n", "added 70000 203.0.113.10\n", "added 5 host\n",
                           "added 5\n", "added 51820 203.0.113.10", "removed\n", "added -5 203.0.113.10\n"})
    EXPECT_EQ(parse_upnp_line(line).what, What::no_router) << line;
}

// Where no process can be made: there is no descriptor left for its pipe.
struct UpnpJobWithoutProcess : ::testing::Test {
  UpnpJobWithoutProcess() { getrlimit(RLIMIT_NOFILE, &usual); }
  void start(UpnpJob& job, int& told) {
    const rlimit none{0, usual.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    job.start({}, {}, [&told](const discovery::UpnpTold&) { told++; });
    setrlimit(RLIMIT_NOFILE, &usual);
  }
  rlimit usual{};
  Reactor reactor;
};

TEST_F(UpnpJobWithoutProcess, IsToldOnceFromTheReactor) {
  UpnpJob job(reactor);
  int first = 0, second = 0;
  start(job, first);
  start(job, second);
  EXPECT_EQ(second, 0);
  for (int i = 0; i < 3; i++) reactor.run_once(1ms);
  EXPECT_EQ(first, 0) << "the second question took its place";
  EXPECT_EQ(second, 1);
}

TEST_F(UpnpJobWithoutProcess, IsToldNothingOnceItIsGoneOrStopped) {
  int told = 0;
  {
    UpnpJob job(reactor);
    start(job, told);
  }
  UpnpJob stopped(reactor);
  start(stopped, told);
  stopped.stop();
  for (int i = 0; i < 3; i++) reactor.run_once(1ms);
  EXPECT_EQ(told, 0);
}

}  // namespace
}  // namespace macrovpn::shell
