// The bound that a relay's CPU for each packet is held against: what it costs to take datagrams from one link and send them on
// by another with all offloads, when the only work on each is PASSES times the data-plane AEAD; with 0 the kernel's part alone.
//
//   naive_relay LOCAL_PORT LEFT_IPV4 LEFT_PORT RIGHT_IPV4 RIGHT_PORT PASSES
//
// What UDP_GRO put together is sent on as one message, cut by UDP_SEGMENT.  At SIGTERM it prints how many datagrams passed.
#include <arpa/inet.h>
#include <intel-ipsec-mb.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

volatile std::sig_atomic_t ended = 0;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

// Both ends are spoken to from one port: a socket for each, connected.
int open_udp(const char* local_port, const char* ip, const char* port) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  sockaddr_in here{}, there{};
  here.sin_family = there.sin_family = AF_INET;
  here.sin_port = htons(static_cast<uint16_t>(std::atoi(local_port)));
  there.sin_port = htons(static_cast<uint16_t>(std::atoi(port)));
  inet_pton(AF_INET, ip, &there.sin_addr);
  const int on = 1, buffer = 8 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (bind(fd, reinterpret_cast<sockaddr*>(&here), sizeof here) != 0 || connect(fd, reinterpret_cast<sockaddr*>(&there), sizeof there) != 0 ||
      setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on) != 0)
    die("udp");
  return fd;
}

class Aead {
 public:
  Aead() {
    IMB_ARCH arch;
    init_mb_mgr_auto(manager_, &arch);
  }
  void run(uint8_t* bytes, size_t size, size_t piece) {
    for (size_t at = 0; at < size; at += piece) {
      IMB_JOB* j = IMB_GET_NEXT_JOB(manager_);
      std::memset(j, 0, sizeof *j);
      j->cipher_direction = IMB_DIR_ENCRYPT;
      j->chain_order = IMB_ORDER_CIPHER_HASH;
      j->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
      j->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
      j->enc_keys = j->dec_keys = key_;
      j->key_len_in_bytes = sizeof key_;
      j->src = j->dst = bytes + at;
      j->msg_len_to_cipher_in_bytes = j->msg_len_to_hash_in_bytes = std::min(piece, size - at);
      j->iv = nonce_;
      j->iv_len_in_bytes = sizeof nonce_;
      j->auth_tag_output = tag_;
      j->auth_tag_output_len_in_bytes = sizeof tag_;
      j->u.CHACHA20_POLY1305.aad = nonce_;
      IMB_SUBMIT_JOB_NOCHECK(manager_);
    }
    while (IMB_FLUSH_JOB(manager_) != nullptr) {
    }
  }

 private:
  IMB_MGR* manager_ = alloc_mb_mgr(0);
  uint8_t key_[32] = {1}, nonce_[12] = {}, tag_[16] = {};
};

// One train; how many datagrams it had, 0 if none was there.
size_t pass_on(int from, int to, int passes, Aead& aead) {
  static std::vector<uint8_t> buffer(70'000);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  iovec part{buffer.data(), buffer.size()};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  const ssize_t n = recvmsg(from, &m, 0);
  if (n <= 0) return 0;
  int piece = static_cast<int>(n);
  const cmsghdr* said = CMSG_FIRSTHDR(&m);
  if (said != nullptr && said->cmsg_level == SOL_UDP && said->cmsg_type == UDP_GRO) std::memcpy(&piece, CMSG_DATA(said), sizeof piece);
  const auto size = static_cast<size_t>(n), step = static_cast<size_t>(piece);
  for (int pass = 0; pass < passes; pass++) aead.run(buffer.data(), size, step);
  part.iov_len = size;
  m.msg_controllen = size > step ? CMSG_SPACE(sizeof(uint16_t)) : 0;
  if (size > step) {
    cmsghdr* c = CMSG_FIRSTHDR(&m);
    const auto segment = static_cast<uint16_t>(piece);
    c->cmsg_level = SOL_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof segment);
    std::memcpy(CMSG_DATA(c), &segment, sizeof segment);
  }
  static_cast<void>(sendmsg(to, &m, 0));  // a full queue loses it, as on any link
  return (size + step - 1) / step;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) return std::fputs("naive_relay LOCAL_PORT LEFT_IPV4 LEFT_PORT RIGHT_IPV4 RIGHT_PORT PASSES\n", stderr), 2;
  struct sigaction action{};
  action.sa_handler = [](int) { ended = 1; };
  sigaction(SIGTERM, &action, nullptr);
  const int left = open_udp(argv[1], argv[2], argv[3]), right = open_udp(argv[1], argv[4], argv[5]);
  const int passes = std::atoi(argv[6]);
  Aead aead;
  size_t datagrams = 0;
  pollfd ready[2] = {{left, POLLIN, 0}, {right, POLLIN, 0}};
  while (ended == 0) {
    if (poll(ready, 2, 1000) <= 0) continue;
    for (int i = 0; i < 2; i++) {
      if (ready[i].revents == 0) continue;
      for (int round = 0; round < 4; round++) {
        const size_t n = pass_on(ready[i].fd, ready[1 - i].fd, passes, aead);
        if (n == 0) break;
        datagrams += n;
      }
    }
  }
  std::printf("%zu datagrams\n", datagrams);
}
