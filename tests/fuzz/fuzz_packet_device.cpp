// A packet device passed by another process: its state and whatever its far end writes.
#include <sys/socket.h>
#include <unistd.h>

#include "shell/packet_device.h"

using namespace macrovpn;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  const size_t state = std::min(size, shell::PacketDevice::kStateSize + (size > 0 && data[0] == 9 ? 1 : 0));
  int ends[2];
  MV_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) == 0);
  const shell::Fd far(ends[1]);
  shell::Fd near(ends[0]);
  MV_ASSERT(!shell::PacketDevice::decode(shell::Fd(dup(near.get())), input.first(state)).ok());  // a socket is none
  if (state != shell::PacketDevice::kStateSize) return 0;
  shell::PacketDevice::State s{input[0] % 2 == 1 ? shell::PacketDevice::Kind::tun : shell::PacketDevice::Kind::veth, {}};
  std::copy_n(input.begin() + 1, s.ethernet.size(), s.ethernet.begin());
  shell::PacketDevice passed(std::move(near), s), *device = &passed;
  const Bytes rest = input.subspan(state);
  static_cast<void>(send(far.get(), rest.data(), rest.size(), MSG_NOSIGNAL));
  static PacketPool pool;
  std::vector<Packet> out;
  static_cast<void>(device->read_packets(pool, out, 4));
  for (const Packet& p : out) {
    MV_ASSERT(p.size() >= 20 && p.size() <= rest.size());
    device->write_packet(p.bytes());
  }
  device->write_packet(rest);
  return 0;
}
