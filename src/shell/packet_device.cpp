#include "shell/packet_device.h"

#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

#include "shell/namespace.h"
#include "shell/tun.h"

namespace macrovpn::shell {
namespace {

ifreq request(const std::string& name) {
  ifreq r{};
  std::memcpy(r.ifr_name, name.data(), std::min<size_t>(name.size(), IFNAMSIZ - 1));
  return r;
}

// A veth device leaves checksums and segmentation to hardware that is not there: our end would read packets
// with partial checksums.
void turn_offloads_off(int socket, const std::string& name) {
  for (const uint32_t command : {ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_STXCSUM}) {
    ethtool_value v{command, 0};
    ifreq r = request(name);
    r.ifr_data = reinterpret_cast<char*>(&v);
    static_cast<void>(ioctl(socket, SIOCETHTOOL, &r));
  }
}

bool hardware_address(int socket, const std::string& name, uint8_t* out) {
  ifreq r = request(name);
  if (ioctl(socket, SIOCGIFHWADDR, &r) != 0) return false;
  std::memcpy(out, r.ifr_hwaddr.sa_data, 6);
  return true;
}

Result<Fd> open_packet_socket(const std::string& name) {
  Fd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int one = 1, room = 4 << 20;
  sockaddr_ll a{};
  a.sll_family = AF_PACKET;
  a.sll_protocol = htons(ETH_P_ALL);
  a.sll_ifindex = static_cast<int>(if_nametoindex(name.c_str()));
  if (!fd || setsockopt(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) != 0 ||
      bind(fd.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0)
    return fail(std::string("cannot open a packet socket: ") + std::strerror(errno));
  for (const int buffer : {SO_RCVBUF, SO_SNDBUF})
    if (setsockopt(fd.get(), SOL_SOCKET, buffer == SO_RCVBUF ? SO_RCVBUFFORCE : SO_SNDBUFFORCE, &room,
                   sizeof room) != 0)
      setsockopt(fd.get(), SOL_SOCKET, buffer, &room, sizeof room);
  return fd;
}

Result<PacketDevice> create_veth(const std::string& name) {
  const std::string far = name + "p";
  MV_ASSERT(far.size() < IFNAMSIZ);
  TRY_VOID(run_ip("link add " + name + " type veth peer name " + far + "\nlink set " + name +
                  " arp off\nlink set " + far + " arp off addrgenmode none up\n"));
  const Fd control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  PacketDevice::State state{PacketDevice::Kind::veth, {}};
  if (!control || !hardware_address(control.get(), name, &state.ethernet[0]) ||
      !hardware_address(control.get(), far, &state.ethernet[6]))
    return fail(std::string("cannot read the address of a veth device: ") + std::strerror(errno));
  turn_offloads_off(control.get(), name);
  TRY(Fd fd, open_packet_socket(far));
  return PacketDevice(std::move(fd), state);
}

bool is_ip(const uint8_t* p, size_t n) {
  return n >= 20 && (p[0] >> 4 == 4 || (p[0] >> 4 == 6 && n >= 40));
}

}  // namespace

Result<PacketDevice> PacketDevice::create(const std::string& name, std::optional<Kind> wanted) {
  if (wanted != Kind::veth) {
    Result<Fd> tun = open_tun(name);
    if (tun) return PacketDevice(std::move(tun).value(), {});
    if (wanted == Kind::tun) return tun.failure();
  }
  return create_veth(name);
}

ByteArray<PacketDevice::kStateSize> PacketDevice::encode() const {
  ByteArray<kStateSize> out{static_cast<uint8_t>(state_.kind)};
  std::copy(state_.ethernet.begin(), state_.ethernet.end(), out.begin() + 1);
  return out;
}

Result<PacketDevice> PacketDevice::decode(Fd fd, Bytes state) {
  if (!fd || state.size() != kStateSize || state[0] < 1 || state[0] > 2)
    return fail("a packet device must come with a descriptor and with what it is, and this came without");
  State s{static_cast<Kind>(state[0]), {}};
  std::copy(state.begin() + 1, state.end(), s.ethernet.begin());
  PacketDevice device(std::move(fd), s);
  // Of a file or a pipe, say, epoll would tell us too late or never.
  if (!device.is_genuine()) return fail("a packet device must be a TUN device or a packet socket, and this is none");
  return device;
}

bool PacketDevice::is_genuine() const {
  if (state_.kind == Kind::tun) {
    ifreq r{};
    return ioctl(fd_.get(), TUNGETIFF, &r) == 0 && (r.ifr_flags & (IFF_TUN | IFF_NO_PI)) == (IFF_TUN | IFF_NO_PI);
  }
  const auto is = [&](int option, int wanted) {
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(fd_.get(), SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
  };
  return is(SO_DOMAIN, AF_PACKET) && is(SO_TYPE, SOCK_RAW);
}

// Offloads come here later: a virtio-net header (IFF_VNET_HDR, PACKET_VNET_HDR) in front of the packet.
//
// O_NONBLOCK belongs to all copies of a descriptor, so whoever passed it to us can take that away and have us wait
// in read() for ever.  Each read says itself that it does not wait; for a TUN that needs Linux 6.4.
ssize_t PacketDevice::read_one(uint8_t* at, size_t space) {
  if (state_.kind == Kind::tun) {
    const iovec io{at, space};
    const ssize_t n = preadv2(fd_.get(), &io, 1, -1, RWF_NOWAIT);
    return n < 0 && errno == EOPNOTSUPP ? read(fd_.get(), at, space) : n;
  }
  uint8_t ethernet[ETHER_HDR_LEN];
  iovec io[2] = {{ethernet, sizeof ethernet}, {at, space}};
  msghdr m{};
  m.msg_iov = io;
  m.msg_iovlen = 2;
  const ssize_t n = recvmsg(fd_.get(), &m, MSG_DONTWAIT);
  return n < 0 ? n : std::max<ssize_t>(n - ETHER_HDR_LEN, 0);
}

PacketDevice::Status PacketDevice::read_packets(PacketPool& pool, std::vector<Packet>& out, size_t max) {
  for (size_t i = 0; i < max; i++) {
    Packet p = pool.take();
    const ssize_t n = read_one(p.data(), kPacketMax);
    if (n < 0 && errno == EINTR) continue;
    // ENETDOWN is told once by a packet socket when its device goes down, and is over with the reading.
    if (n < 0) return errno == EAGAIN || errno == ENETDOWN ? Status::ok : Status::gone;
    if (n == 0 && state_.kind == Kind::tun) return Status::gone;
    if (!is_ip(p.data(), static_cast<size_t>(n))) continue;
    p.push_back(static_cast<size_t>(n));
    out.push_back(std::move(p));
  }
  return Status::ok;
}

bool PacketDevice::write_packet(Bytes packet) {
  if (!is_ip(packet.data(), packet.size())) return false;
  auto* at = const_cast<uint8_t*>(packet.data());
  if (state_.kind == Kind::tun) return write(fd_.get(), at, packet.size()) > 0;
  uint8_t ethernet[ETHER_HDR_LEN];
  std::copy(state_.ethernet.begin(), state_.ethernet.end(), ethernet);
  store_be16(ethernet + 12, at[0] >> 4 == 4 ? ETHERTYPE_IP : ETHERTYPE_IPV6);
  iovec io[2] = {{ethernet, sizeof ethernet}, {at, packet.size()}};
  msghdr m{};
  m.msg_iov = io;
  m.msg_iovlen = 2;
  return sendmsg(fd_.get(), &m, MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
}

size_t PacketDevice::write_packets(std::span<Packet> packets) {
  size_t taken = 0;
  for (const Packet& p : packets) taken += write_packet(p.bytes()) ? 1 : 0;
  return taken;
}

}  // namespace macrovpn::shell
