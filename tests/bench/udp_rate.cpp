// Small datagrams at a paced rate, and what arrives of them.
//
//   udp_rate count PORT                              until input ends; then prints {"received":N,"bytes":N}
//   udp_rate send IPV4 PORT RATE SECONDS SIZE        prints {"sent":N,"seconds":S}: what it managed, in equal steps of 1 ms
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kBatch = 128, kMostBytes = 1500;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

sockaddr_in address(const char* ip, const char* port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(static_cast<uint16_t>(std::atoi(port)));
  if (ip != nullptr && inet_pton(AF_INET, ip, &a.sin_addr) != 1) die("address");
  return a;
}

struct Batch {
  std::array<std::array<char, kMostBytes>, kBatch> bytes{};
  std::array<iovec, kBatch> vectors{};
  std::array<mmsghdr, kBatch> messages{};
  explicit Batch(size_t size) {
    for (size_t i = 0; i < kBatch; i++) {
      vectors[i] = {bytes[i].data(), size};
      messages[i].msg_hdr.msg_iov = &vectors[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
  }
};

int count(const char* port) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  const sockaddr_in here = address(nullptr, port);
  const int buffer = 32 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0) die("bind");
  std::puts("ready");
  std::fflush(stdout);
  static Batch batch(kMostBytes);
  uint64_t received = 0, bytes = 0;
  for (bool open = true; open;) {
    pollfd p[2] = {{fd, POLLIN, 0}, {0, POLLIN, 0}};
    poll(p, 2, -1);
    open = p[1].revents == 0;
    for (int n; (n = recvmmsg(fd, batch.messages.data(), kBatch, MSG_DONTWAIT, nullptr)) > 0;) {
      received += static_cast<uint64_t>(n);
      for (int i = 0; i < n; i++) bytes += batch.messages[static_cast<size_t>(i)].msg_len;
    }
  }
  std::printf("{\"received\":%llu,\"bytes\":%llu}\n", static_cast<unsigned long long>(received), static_cast<unsigned long long>(bytes));
  return 0;
}

int send(char** argv) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  const sockaddr_in there = address(argv[2], argv[3]);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&there), sizeof there) != 0) die("connect");
  const double rate = std::atof(argv[4]), seconds = std::atof(argv[5]);
  static Batch batch(std::min<size_t>(static_cast<size_t>(std::atoi(argv[6])), kMostBytes));
  const auto start = Clock::now();
  uint64_t sent = 0;
  double elapsed = 0;
  while ((elapsed = std::chrono::duration<double>(Clock::now() - start).count()) < seconds) {
    const auto due = static_cast<uint64_t>(elapsed * rate);
    while (sent < due) {
      const int n = sendmmsg(fd, batch.messages.data(), static_cast<unsigned>(std::min<uint64_t>(kBatch, due - sent)), 0);
      if (n <= 0) break;
      sent += static_cast<uint64_t>(n);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::printf("{\"sent\":%llu,\"seconds\":%.3f}\n", static_cast<unsigned long long>(sent), elapsed);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "count" && argc == 3) return count(argv[2]);
  if (what == "send" && argc == 7) return send(argv);
  return std::fputs("udp_rate count PORT | udp_rate send IPV4 PORT RATE SECONDS SIZE\n", stderr), 2;
}
