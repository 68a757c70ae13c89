// The daemon's control socket: any bytes, cut into pieces anyhow, by somebody who says hello and by somebody
// who does not; perhaps with descriptors.  Each line that is no request of ours is answered by an error; nobody is answered forever.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "shell/control/server.h"
#include "shell/packet_device.h"

namespace macrovpn::shell::control {
namespace {

struct Daemon {
  Daemon() {
    char folder[] = "/tmp/macrovpn-fuzz-XXXXXX";
    MV_ASSERT(mkdtemp(folder) != nullptr);
    made = folder;
    std::atexit([] { std::filesystem::remove_all(made); });
    path = std::string(folder) + "/control";
    auto listening = Server::listen(reactor, path);
    MV_ASSERT(listening.ok());
    server = std::move(listening).value();
    server->on("echo", [](Request& r) -> Result<nlohmann::json> { return r.params; });
    server->on("fail", [](Request& r) -> Result<nlohmann::json> {
      return fail(r.params.at("why").get<std::string>());
    });
    server->on("attach", [](Request& r) -> Result<nlohmann::json> {
      const auto state = from_hex(r.params.at("device").get<std::string>());
      TRY(const PacketDevice device, PacketDevice::decode(r.take_fd(), state.value_or(std::vector<uint8_t>())));
      return nlohmann::json(device.kind() == PacketDevice::Kind::tun);
    });
  }
  Fd connect() {
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_un a{};
    a.sun_family = AF_UNIX;
    std::memcpy(a.sun_path, path.data(), path.size());
    MV_ASSERT(::connect(fd.get(), reinterpret_cast<sockaddr*>(&a), sizeof a) == 0);
    return fd;
  }
  static inline std::string made;
  Reactor reactor;
  std::string path;
  std::unique_ptr<Server> server;
};

// `count` descriptors of a file go along.
void send_with(int socket, Bytes b, size_t count) {
  static const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
  iovec io{const_cast<uint8_t*>(b.data()), b.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))]{};
  msghdr m{};
  m.msg_iov = &io;
  m.msg_iovlen = 1;
  if (count > 0) {
    m.msg_control = control;
    m.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (size_t i = 0; i < count; i++) std::memcpy(CMSG_DATA(h) + i * sizeof(int), &file, sizeof file);
  }
  static_cast<void>(sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT));
}

void run(Bytes input) {
  static Daemon& daemon = *new Daemon;
  Fd fd = daemon.connect();
  if (input[0] % 2 == 0) {
    constexpr std::string_view kHello =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\",\"params\":{\"version\":1}}\n";
    static_cast<void>(send(fd.get(), kHello.data(), kHello.size(), MSG_NOSIGNAL));
  }
  const size_t piece = 1 + input[0] / 2 % 64 * size_t{97};
  size_t fds = 0;
  for (Bytes rest = input.subspan(1); !rest.empty(); rest = rest.subspan(std::min(piece, rest.size()))) {
    const Bytes b = rest.first(std::min(piece, rest.size()));
    send_with(fd.get(), b, input[0] < 128 ? 0 : fds++ % 7);
    daemon.reactor.run_once(Duration::zero());
    char sink[4096];
    while (recv(fd.get(), sink, sizeof sink, MSG_DONTWAIT) > 0) {
    }
  }
  fd = Fd();
  for (int i = 0; i < 10 && daemon.server->connections() > 0; i++) daemon.reactor.run_once(Duration::zero());
  MV_ASSERT(daemon.server->connections() == 0);
}

}  // namespace
}  // namespace macrovpn::shell::control

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0) macrovpn::shell::control::run({data, size});
  return 0;
}
