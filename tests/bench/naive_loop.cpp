// The bound that one-hop throughput is held against: what a TUN device and a UDP socket with all offloads can carry when the
// only work on each 1400 bytes is PASSES times the data-plane AEAD, with one key and no headers, order or answers checked.
//
//   naive_loop IFNAME LOCAL_PORT REMOTE_IPV4 REMOTE_PORT PASSES
//
// One thread each way.  Superpackets of the TUN leave as they are, cut by UDP_SEGMENT, and what UDP_GRO put together is
// written back: no VPN, a measure.
#include <arpa/inet.h>
#include <fcntl.h>
#include <intel-ipsec-mb.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

namespace {

constexpr size_t kPiece = 1400, kLongest = 65'000;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int open_tun(const char* name) {
  const int fd = open("/dev/net/tun", O_RDWR);
  ifreq r{};
  r.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  std::snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &r) != 0 || ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0) die("tun");
  return fd;
}

int open_udp(const char* const* argv) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in here{}, there{};
  here.sin_family = there.sin_family = AF_INET;
  here.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[2])));
  there.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[4])));
  inet_pton(AF_INET, argv[3], &there.sin_addr);
  const int on = 1, buffer = 8 << 20, piece = kPiece;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  if (bind(fd, reinterpret_cast<sockaddr*>(&here), sizeof here) != 0 || connect(fd, reinterpret_cast<sockaddr*>(&there), sizeof there) != 0 ||
      setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on) != 0 || setsockopt(fd, SOL_UDP, UDP_SEGMENT, &piece, sizeof piece) != 0)
    die("udp");
  return fd;
}

// Counter mode twice restores the bytes, so both ends do the same; the tags go nowhere.
class Aead {
 public:
  Aead() {
    IMB_ARCH arch;
    init_mb_mgr_auto(manager_, &arch);
  }
  void run(uint8_t* bytes, size_t size) {
    for (size_t at = 0; at < size; at += kPiece) {
      IMB_JOB* j = IMB_GET_NEXT_JOB(manager_);
      std::memset(j, 0, sizeof *j);
      j->cipher_direction = IMB_DIR_ENCRYPT;
      j->chain_order = IMB_ORDER_CIPHER_HASH;
      j->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
      j->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
      j->enc_keys = j->dec_keys = key_;
      j->key_len_in_bytes = sizeof key_;
      j->src = j->dst = bytes + at;
      j->msg_len_to_cipher_in_bytes = j->msg_len_to_hash_in_bytes = std::min(kPiece, size - at);
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

[[noreturn]] void pump(int from, int to, int passes) {
  std::vector<uint8_t> buffer(70'000);
  Aead aead;
  for (;;) {
    const ssize_t n = read(from, buffer.data(), buffer.size());
    if (n <= 0) continue;
    const size_t size = std::min(static_cast<size_t>(n), kLongest);
    for (int pass = 0; pass < passes; pass++) aead.run(buffer.data(), size);
    if (write(to, buffer.data(), size) < 0) continue;  // a full queue; or the device is not up yet
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return std::fputs("naive_loop IFNAME LOCAL_PORT REMOTE_IPV4 REMOTE_PORT PASSES\n", stderr), 2;
  const int tun = open_tun(argv[1]), udp = open_udp(argv);
  const int passes = std::atoi(argv[5]);
  const std::thread out([&] { pump(tun, udp, passes); });
  pump(udp, tun, passes);
}
