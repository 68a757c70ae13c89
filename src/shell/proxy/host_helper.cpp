#include "shell/proxy/host_helper.h"

#include <sys/socket.h>
#include <sys/time.h>

#include "shell/exit/socket_address.h"

namespace macrovpn::shell {
namespace {

constexpr uint8_t kMakeSocket = 'S', kStartDaemon = 'D';
// Far more than a daemon may take to start: an answer that comes too late would pass for that to the next question.
constexpr time_t kPatienceSeconds = 60;

Result<Fd> make_udp_socket(Bytes address) {
  const auto v4 = to_array<4>(address);
  const auto v6 = to_array<16>(address);
  const IpAddress ip = v4 ? IpAddress::v4(*v4) : IpAddress::v6(v6.value_or(ByteArray<16>{}));
  Fd fd = open_socket(family_of(ip), SOCK_DGRAM);
  const SocketAddress at({ip, 0});
  constexpr char kLoopback[] = "lo";
  if (!fd || bind(fd.get(), at.data(), at.size) != 0 ||
      setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, kLoopback, sizeof kLoopback) != 0)
    return fail("cannot open a UDP socket on loopback");
  return fd;
}

void answer_socket(int channel, Bytes address) {
  const auto socket = make_udp_socket(address);
  if (!socket) return report_error(channel, socket.error());
  const int fd = socket->get();
  static_cast<void>(report_ready(channel, {}, {&fd, 1}).ok());
}

int serve(int channel, const std::function<Result<void>()>& start_daemon) {
  for (;;) {
    const auto question = recv_fds(channel);
    if (!question || question->body.empty()) return 0;  // the proxy has ended
    const Bytes body = question->body;
    if (body[0] == kMakeSocket) {
      answer_socket(channel, body.subspan(1));
      continue;
    }
    const auto started = start_daemon();
    if (started)
      static_cast<void>(report_ready(channel, {}, {}).ok());
    else
      report_error(channel, started.error());
  }
}

}  // namespace

Result<HostHelper> HostHelper::start(std::function<Result<void>()> start_daemon) {
  TRY(Helper helper, Helper::start([&](int channel) { return serve(channel, start_daemon); }));
  const timeval patience{kPatienceSeconds, 0};
  setsockopt(helper.channel(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return HostHelper(std::move(helper));
}

Result<FdMessage> HostHelper::ask(Bytes question) {
  if (helper_.pid() < 0) return fail("the proxy's helper process has ended: start the proxy again");
  TRY_VOID(send_fds(helper_.channel(), question, {}));
  auto answer = await_report(helper_.channel());
  return answer;
}

Result<Fd> HostHelper::udp_socket(const IpAddress& loopback) {
  std::vector<uint8_t> question;
  Writer(question).u8(kMakeSocket).bytes(loopback.bytes());
  TRY(FdMessage answer, ask(question));
  if (answer.fds.size() != 1) return fail("the proxy's helper process sent no socket");
  return std::move(answer.fds[0]);
}

Result<void> HostHelper::start_daemon() {
  TRY_VOID(ask({&kStartDaemon, 1}));
  return {};
}

}  // namespace macrovpn::shell
