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

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "shell/interface_request.h"
#include "shell/namespace.h"
#include "shell/offload/segment.h"
#include "shell/tun.h"

namespace macrovpn::shell {
namespace {

// Without a virtio header nobody would tell us of the checksums and the segmentation that a veth device leaves to hardware
// that is not there.
void turn_offloads_off(int socket, const std::string& name) {
  for (const uint32_t command : {ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_STXCSUM}) {
    ethtool_value v{command, 0};
    ifreq r = interface_request(name);
    r.ifr_data = reinterpret_cast<char*>(&v);
    static_cast<void>(ioctl(socket, SIOCETHTOOL, &r));
  }
}

bool has_virtio_header(int packet_socket) {
  int on = 0;
  socklen_t size = sizeof on;
  return getsockopt(packet_socket, SOL_PACKET, PACKET_VNET_HDR, &on, &size) == 0 && on == 1;
}

bool hardware_address(int socket, const std::string& name, uint8_t* out) {
  ifreq r = interface_request(name);
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
  TRY(Fd fd, open_packet_socket(far));
  const int one = 1;
  if (setsockopt(fd.get(), SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) != 0) turn_offloads_off(control.get(), name);
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

Result<std::vector<PacketDevice>> PacketDevice::create_queues(const std::string& name, size_t count) {
  TRY(std::vector<Fd> queues, open_tun_queues(name, count));
  std::vector<PacketDevice> out;
  for (Fd& queue : queues) out.emplace_back(std::move(queue), State{});
  return out;
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
    int size = 0;
    return ioctl(fd_.get(), TUNGETIFF, &r) == 0 && (r.ifr_flags & (IFF_TUN | IFF_NO_PI)) == (IFF_TUN | IFF_NO_PI) &&
           (!header_ || (ioctl(fd_.get(), TUNGETVNETHDRSZ, &size) == 0 && size == static_cast<int>(VirtioHeader::kSize)));
  }
  const auto is = [&](int option, int wanted) {
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(fd_.get(), SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
  };
  return is(SO_DOMAIN, AF_PACKET) && is(SO_TYPE, SOCK_RAW);
}

// ---- offloads

void PacketDevice::learn_offloads() {
  offloads_ = {};
  if (state_.kind == Kind::veth) {
    header_ = has_virtio_header(fd_.get());
    offloads_.tcp = header_;
    return;
  }
  ifreq r{};
  header_ = ioctl(fd_.get(), TUNGETIFF, &r) == 0 && (r.ifr_flags & IFF_VNET_HDR) != 0;
  if (!header_) return;
  const int size = VirtioHeader::kSize;  // whoever made it may have chosen a longer one
  static_cast<void>(ioctl(fd_.get(), TUNSETVNETHDRSZ, &size));
  // Headers of Linux before 6.2 lack these.
  constexpr unsigned kUso4 = 0x20, kUso6 = 0x40;
  constexpr unsigned kTcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  offloads_.udp = ioctl(fd_.get(), TUNSETOFFLOAD, kTcp | kUso4 | kUso6) == 0;
  offloads_.tcp = offloads_.udp || ioctl(fd_.get(), TUNSETOFFLOAD, kTcp) == 0;
  coalescer_ = Coalescer(offloads_.udp ? Coalescer::Udp::together : Coalescer::Udp::apart);
}

// ---- reading

namespace {
// A superpacket of 64 KiB is at least this many packets of an ordinary size.
constexpr size_t kSlots = 48;
// Packets alone before we no longer expect a superpacket: acknowledgements come between them.
constexpr unsigned kPatience = 8;

uint8_t* spill() {
  thread_local const std::unique_ptr<uint8_t[]> memory(new uint8_t[Scatter::kSpill]);
  return memory.get();
}
}  // namespace

// O_NONBLOCK belongs to all copies of a descriptor, so whoever passed it to us can take that away and have us wait
// in read() for ever.  Each read and write says itself that it does not wait; for a TUN that needs Linux 6.4.
ssize_t PacketDevice::read_parts() {
  const auto count = parts_.size();
  if (state_.kind == Kind::tun) {
    const ssize_t n = preadv2(fd_.get(), parts_.data(), static_cast<int>(count), -1, RWF_NOWAIT);
    return n < 0 && errno == EOPNOTSUPP ? readv(fd_.get(), parts_.data(), static_cast<int>(count)) : n;
  }
  msghdr m{};
  m.msg_iov = parts_.data();
  m.msg_iovlen = count;
  const ssize_t n = recvmsg(fd_.get(), &m, MSG_DONTWAIT);
  return n > 0 && (m.msg_flags & MSG_TRUNC) != 0 ? 0 : n;
}

// `more`: something was there.
PacketDevice::Status PacketDevice::read_one(PacketPool& pool, std::vector<Packet>& out, bool& more) {
  more = false;
  const bool guessing = guessed_segment_ != 0 && guessed_header_ + guessed_segment_ <= kPacketMax;
  if (guessing) {
    scatter_.offer(pool, kSlots, guessed_header_, guessed_segment_, spill());
  } else {
    scatter_.offer(pool, 1, 0, kPacketMax, spill());
  }
  parts_.clear();
  size_t in_front = 0;
  if (header_) parts_.push_back({virtio_.data(), virtio_.size()}), in_front += virtio_.size();
  if (state_.kind == Kind::veth) parts_.push_back({link_.data(), link_.size()}), in_front += link_.size();
  scatter_.append_to(parts_);
  const ssize_t n = read_parts();
  if (n < 0 && errno == EINTR) return more = true, Status::ok;
  // ENETDOWN is told once by a packet socket when its device goes down, and is over with the reading.
  if (n < 0) return errno == EAGAIN || errno == ENETDOWN ? Status::ok : Status::gone;
  if (n == 0 && state_.kind == Kind::tun) return Status::gone;
  more = true;
  if (static_cast<size_t>(n) > in_front) take_run(pool, out, static_cast<size_t>(n) - in_front);
  return Status::ok;
}

// What was read: a packet, or a superpacket that is cut.
void PacketDevice::take_run(PacketPool& pool, std::vector<Packet>& out, size_t size) {
  VirtioHeader h;
  if (header_) h = VirtioHeader::read(virtio_.data());
  if (state_.kind == Kind::veth) h.checksum_start = static_cast<uint16_t>(h.checksum_start - link_.size());
  const Bytes front = scatter_.front(size);
  if (!is_ip(front.data(), std::min(front.size(), size))) return;
  const size_t before = out.size();
  if (h.type == VirtioHeader::kNone) {
    if (++alone_ > kPatience) guessed_segment_ = 0;
    scatter_.cut(pool, size, 0, std::max(size, size_t{1}), out);
    if (out.size() > before && !complete_checksum(h, out.back().bytes())) out.pop_back();
    return;
  }
  const auto plan = Segmenter::plan(h, front, size);
  if (!plan || plan->header_size() + plan->payload_size() > kPacketMax) {
    guessed_segment_ = 0;
    return;
  }
  scatter_.cut(pool, size, plan->header_size(), plan->payload_size(), out);
  const std::span<Packet> segments = std::span(out).subspan(before);
  MV_ASSERT(segments.size() == plan->segments());
  for (size_t i = segments.size(); i-- > 0;) {  // the first one's header is what the others copy
    if (i > 0) std::memcpy(segments[i].data(), segments[0].data(), plan->header_size());
    plan->finish(i, segments[i].bytes());
  }
  alone_ = 0;
  const bool long_enough = plan->header_size() + plan->payload_size() >= kMaxHeaders;  // for the front of any packet
  guessed_segment_ = long_enough && segments.size() > 1 ? plan->payload_size() : 0;
  guessed_header_ = plan->header_size();
}

PacketDevice::Status PacketDevice::read_packets(PacketPool& pool, std::vector<Packet>& out, size_t max) {
  const size_t before = out.size(), enough = before + max;
  Status status = Status::ok;
  for (bool more = true; more && status == Status::ok && out.size() < enough;) status = read_one(pool, out, more);
  scatter_.give_back();
  for (size_t i = before; i < out.size(); i++) carried_.out += out[i].size();
  return status;
}

// ---- writing

// parts[0] begins with a virtio header, if the device wants one, and with the packet's first bytes.
ssize_t PacketDevice::write_parts(std::span<const iovec> parts) {
  if (state_.kind == Kind::tun) {
    const ssize_t n = pwritev2(fd_.get(), parts.data(), static_cast<int>(parts.size()), -1, RWF_NOWAIT);
    return n < 0 && errno == EOPNOTSUPP ? writev(fd_.get(), parts.data(), static_cast<int>(parts.size())) : n;
  }
  const size_t header = header_ ? VirtioHeader::kSize : 0;
  auto* first = static_cast<uint8_t*>(parts[0].iov_base);
  if (header_) {
    VirtioHeader h = VirtioHeader::read(first);
    if (h.flags != 0) {
      h.checksum_start = static_cast<uint16_t>(h.checksum_start + link_.size());
      h.header_size = static_cast<uint16_t>(h.header_size + link_.size());
    }
    h.write(first);
  }
  std::copy(state_.ethernet.begin(), state_.ethernet.end(), link_.begin());
  store_be16(&link_[12], first[header] >> 4 == 4 ? ETHERTYPE_IP : ETHERTYPE_IPV6);
  parts_.clear();
  if (header_) parts_.push_back({first, header});
  parts_.push_back({link_.data(), link_.size()});
  parts_.push_back({first + header, parts[0].iov_len - header});
  parts_.insert(parts_.end(), parts.begin() + 1, parts.end());
  msghdr m{};
  m.msg_iov = parts_.data();
  m.msg_iovlen = parts_.size();
  return sendmsg(fd_.get(), &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool PacketDevice::write_packet(Bytes packet) {
  if (!is_ip(packet.data(), packet.size())) return false;
  uint8_t front[VirtioHeader::kSize + 20] = {};  // a virtio header that says nothing
  const size_t header = header_ ? VirtioHeader::kSize : 0;
  std::copy_n(packet.data(), 20, front + header);
  const iovec parts[2] = {{front, header + 20}, {const_cast<uint8_t*>(packet.data()) + 20, packet.size() - 20}};
  if (write_parts(parts) <= 0) return false;
  carried_.in += packet.size();
  return true;
}

// The kernel will not have this superpacket, or finds no memory for one so large.  A full or closed device is no reason to
// try its packets.
size_t PacketDevice::write_apart(size_t group) {
  const bool refused = errno == EINVAL || errno == EMSGSIZE || errno == ENOMEM || errno == ENOBUFS;
  if (!refused || coalescer_.packets_of(group) == 1) return 0;
  size_t taken = 0;
  for (const iovec& p : coalescer_.apart(group)) {
    taken += write_packet({static_cast<const uint8_t*>(p.iov_base), p.iov_len}) ? 1 : 0;
  }
  return taken;
}

size_t PacketDevice::write_packets(std::span<Packet> packets) {
  size_t taken = 0;
  if (!offloads_.tcp) {
    for (const Packet& p : packets) taken += write_packet(p.bytes()) ? 1 : 0;
    return taken;
  }
  const auto strange = [](const Packet& p) { return !is_ip(p.data(), p.size()); };
  if (std::any_of(packets.begin(), packets.end(), strange))
    packets = packets.first(static_cast<size_t>(std::remove_if(packets.begin(), packets.end(), strange) - packets.begin()));
  coalescer_.plan(packets);
  for (size_t i = 0; i < coalescer_.writes(); i++) {
    if (write_parts(coalescer_.write(i)) <= 0) {
      taken += write_apart(i);
      continue;
    }
    taken += coalescer_.packets_of(i);
    carried_.in += coalescer_.bytes_of(i);
  }
  return taken;
}

}  // namespace macrovpn::shell
