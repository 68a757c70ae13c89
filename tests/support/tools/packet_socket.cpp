#include "packet_socket.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace netlab {

void fail(const std::string& what, const std::string& interface) {
  std::fprintf(stderr, "netlab: %s on interface %s: %s\n", what.c_str(), interface.c_str(), std::strerror(errno));
  std::exit(1);
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

Descriptor open_packet_socket(const std::string& interface) {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) fail("cannot open a packet socket", interface);
  return Descriptor(fd);
}

void bind_to(const Descriptor& socket, const std::string& interface) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  if (address.sll_ifindex == 0) fail("cannot find it: no such interface in this network namespace", interface);
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail("cannot bind the packet socket", interface);
}

void set_option(const Descriptor& socket, int option, const void* value, std::size_t size,
                const std::string& interface) {
  if (setsockopt(socket.get(), SOL_PACKET, option, value, static_cast<socklen_t>(size)) != 0)
    fail("cannot set packet socket option " + std::to_string(option), interface);
}

void forget_error(const Descriptor& socket) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
}

Mapping::Mapping(const Descriptor& socket, std::size_t size, const std::string& interface) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, socket.get(), 0);
  if (memory == MAP_FAILED) fail("cannot map the packet ring", interface);
  bytes_ = {static_cast<std::uint8_t*>(memory), size};
}

Mapping::~Mapping() {
  if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
}

}  // namespace netlab
