#include "shell/proxy/host_helper.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "shell/clock.h"
#include "shell/exit/socket_address.h"

namespace macrovpn::shell {
namespace {

using control::NoDaemon;
constexpr uint8_t kMakeSocket = 'S', kStartDaemon = 'D', kDialDaemon = 'C';
constexpr uint8_t kDone = 0;
constexpr size_t kHeader = 5;

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

Failure<NoDaemon> failed(const Error& e) {
  return Failure{NoDaemon{NoDaemon::Why::failed, e}};
}

// What was made, if it is a descriptor.
Result<Fd, NoDaemon> carry_out(Bytes question, const HostHelper::Services& services) {
  if (question[4] == kDialDaemon) return services.dial_daemon();
  if (question[4] == kMakeSocket) {
    auto fd = make_udp_socket(question.subspan(kHeader));
    if (!fd) return failed(fd.error());
    return std::move(*fd);
  }
  const auto started = services.start_daemon();
  if (!started) return failed(started.error());
  return Fd();
}

int serve(int channel, const HostHelper::Services& services) {
  for (;;) {
    const auto question = recv_fds(channel);
    if (!question || question->body.size() < kHeader) return 0;  // the proxy has ended
    const auto made = carry_out(question->body, services);
    std::vector<uint8_t> answer;
    Writer out(answer);
    out.bytes(Bytes(question->body).first(4)).u8(made ? kDone : static_cast<uint8_t>(1 + static_cast<int>(made.error().why)));
    if (!made) out.bytes(as_bytes(made.error().error.message.substr(0, kMaxPassedBody - kHeader)));
    const int fd = made ? made->get() : -1;
    static_cast<void>(send_fds(channel, answer, {&fd, fd >= 0 ? 1u : 0u}).ok());
  }
}

}  // namespace

Result<HostHelper> HostHelper::start(Services services, Duration patience) {
  TRY(Helper helper, Helper::start([&](int channel) { return serve(channel, services); }));
  return HostHelper(std::move(helper), patience);
}

Result<FdMessage> HostHelper::await(uint32_t number) {
  const Mono deadline = read_clocks().mono + patience_;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - read_clocks().mono);
    pollfd ready{helper_.channel(), POLLIN, 0};
    const int n = poll(&ready, 1, left.count() > 0 ? static_cast<int>(left.count()) : 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail("the proxy's helper process does not answer: start the proxy again");
    TRY(FdMessage answer, recv_fds(helper_.channel()));
    if (answer.body.size() >= kHeader && load_be32(answer.body.data()) == number) return answer;
  }
}

Result<FdMessage, NoDaemon> HostHelper::ask(uint8_t kind, Bytes rest) {
  std::vector<uint8_t> question;
  Writer(question).be32(++asked_).u8(kind).bytes(rest);
  if (helper_.pid() < 0 || !send_fds(helper_.channel(), question, {}))
    return failed(Error{"the proxy's helper process has ended: start the proxy again"});
  auto answer = await(asked_);
  if (!answer) return failed(answer.error());
  const uint8_t outcome = answer->body[4];
  if (outcome == kDone) return std::move(*answer);
  return Failure{NoDaemon{static_cast<NoDaemon::Why>(outcome - 1),
                          {std::string(answer->body.begin() + kHeader, answer->body.end())}}};
}

Result<Fd> HostHelper::udp_socket(const IpAddress& loopback) {
  auto answer = ask(kMakeSocket, loopback.bytes());
  if (!answer) return Failure{answer.error().error};
  if (answer->fds.size() != 1) return fail("the proxy's helper process sent no socket");
  return std::move(answer->fds[0]);
}

Result<void> HostHelper::start_daemon() {
  const auto answer = ask(kStartDaemon);
  if (!answer) return Failure{answer.error().error};
  return {};
}

Result<Fd, NoDaemon> HostHelper::dial_daemon() {
  TRY(FdMessage answer, ask(kDialDaemon));
  if (answer.fds.size() != 1) return failed(Error{"the proxy's helper process sent no connection"});
  return std::move(answer.fds[0]);
}

}  // namespace macrovpn::shell
