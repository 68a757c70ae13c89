#include "shell/driver/udp_socket.h"

#include <netinet/udp.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "shell/driver/steering.h"
#include "shell/offload/scatter.h"
#include "shell/offload/train.h"

namespace macrovpn::shell {
namespace {

constexpr int kBuffer = 4 << 20;

void to_in6(const IpAddress& a, in6_addr& out) {
  std::memset(&out, 0, sizeof out);
  if (!a.is_v4()) {
    std::memcpy(&out, a.bytes().data(), 16);
  } else if (!a.is_unspecified()) {
    out.s6_addr[10] = out.s6_addr[11] = 0xff;  // IPv4-mapped
    std::memcpy(&out.s6_addr[12], a.bytes().data(), 4);
  }
}

IpAddress from_in6(const in6_addr& a) {
  ByteArray<16> b;
  std::memcpy(b.data(), &a, 16);
  return IN6_IS_ADDR_V4MAPPED(&a) ? IpAddress::v4(load_be32(&b[12])) : IpAddress::v6(b);
}

// An address of either family fits into a sockaddr_in6.
socklen_t to_sockaddr(const Endpoint& e, UdpSocket::Stack stack, sockaddr_in6& out) {
  std::memset(&out, 0, sizeof out);
  if (stack == UdpSocket::Stack::v4_only) {
    auto& a = reinterpret_cast<sockaddr_in&>(out);
    a.sin_family = AF_INET;
    a.sin_port = htons(e.port);
    if (e.address.is_v4()) std::memcpy(&a.sin_addr, e.address.bytes().data(), 4);
    return sizeof a;
  }
  out.sin6_family = AF_INET6;
  out.sin6_port = htons(e.port);
  to_in6(e.address, out.sin6_addr);
  return sizeof out;
}

Endpoint from_sockaddr(const sockaddr_in6& s) {
  if (s.sin6_family == AF_INET) {
    const auto& a = reinterpret_cast<const sockaddr_in&>(s);
    return {IpAddress::v4(ntohl(a.sin_addr.s_addr)), ntohs(a.sin_port)};
  }
  return {from_in6(s.sin6_addr), ntohs(s.sin6_port)};
}

void set(int fd, int level, int option, int value) {
  setsockopt(fd, level, option, &value, sizeof value);
}

}  // namespace

Result<void> UdpSocket::create() {
  fd_ = Fd(socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_) {
    stack_ = Stack::v4_only;
    fd_ = Fd(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }
  if (!fd_) return fail(std::string("cannot open a UDP socket: ") + strerror(errno));
  if (stack_ == Stack::both) {
    set(fd(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
    set(fd(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
  }
  set(fd(), IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
  set(fd(), SOL_SOCKET, SO_RCVBUF, kBuffer);
  set(fd(), SOL_SOCKET, SO_SNDBUF, kBuffer);
  set(fd(), SOL_SOCKET, SO_RCVBUFFORCE, kBuffer);  // root's; else the system's net.core.rmem_max bounds it
  set(fd(), SOL_SOCKET, SO_SNDBUFFORCE, kBuffer);
  if (stack_ == Stack::both) {
    set(fd(), IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);  // tells of IPv4 too
  } else {
    set(fd(), IPPROTO_IP, IP_PKTINFO, 1);
  }
  const int on = 1;
  offloads_.trains_in = setsockopt(fd(), SOL_UDP, UDP_GRO, &on, sizeof on) == 0;
  const int none = 0;
  offloads_.trains_out = setsockopt(fd(), SOL_UDP, UDP_SEGMENT, &none, sizeof none) == 0;
  // Refused to who has no rights over the network; nobody routes by it then.
  if (mark_ != 0) set(fd(), SOL_SOCKET, SO_MARK, static_cast<int>(mark_));
  return {};
}

// On the same address and port: the kernel takes it while both have SO_REUSEPORT.
Result<UdpSocket> UdpSocket::sibling() const {
  UdpSocket s;
  s.mark_ = mark_;
  TRY_VOID(s.create());
  sockaddr_in6 here;
  socklen_t n = sizeof here;
  getsockname(fd(), reinterpret_cast<sockaddr*>(&here), &n);
  set(s.fd(), SOL_SOCKET, SO_REUSEPORT, 1);
  set(fd(), SOL_SOCKET, SO_REUSEPORT, 1);
  const bool made = s.stack_ == stack_ && bind(s.fd(), reinterpret_cast<sockaddr*>(&here), n) == 0;
  const int why = errno;
  if (!grouped_) set(fd(), SOL_SOCKET, SO_REUSEPORT, 0);
  if (!made) return fail(std::string("cannot share a UDP port: ") + strerror(why));
  s.port_ = port_;
  return s;
}

Result<UdpSocket> UdpSocket::connected_twin(const Endpoint& remote) const {
  TRY(UdpSocket s, sibling());
  sockaddr_in6 there;
  const socklen_t m = to_sockaddr(remote, stack_, there);
  if (connect(s.fd(), reinterpret_cast<sockaddr*>(&there), m) != 0)
    return fail(std::string("cannot share a UDP port: ") + strerror(errno));
  return s;
}

Result<std::vector<UdpSocket>> UdpSocket::open_group(const Endpoint& local, size_t count, Rng& rng, uint32_t mark) {
  std::vector<UdpSocket> out;
  TRY(UdpSocket first, open(local, mark));
  first.grouped_ = count > 1;
  out.push_back(std::move(first));
  while (out.size() < count) {
    TRY(UdpSocket s, out.front().sibling());
    s.grouped_ = true;
    out.push_back(std::move(s));
  }
  if (count > 1) TRY_VOID(steer(out.front().fd(), count, rng));
  return out;
}

Result<UdpSocket> UdpSocket::open(const Endpoint& local, uint32_t mark) {
  UdpSocket s;
  s.mark_ = mark;
  TRY_VOID(s.create());
  sockaddr_in6 a;
  const socklen_t n = to_sockaddr(local, s.stack_, a);
  if (bind(s.fd(), reinterpret_cast<sockaddr*>(&a), n) != 0) {
    const std::string why = errno == EADDRINUSE ? "another program uses it; choose another with --listen"
                                                : std::string(strerror(errno));
    return fail("cannot listen on UDP port " + std::to_string(local.port) + ": " + why);
  }
  socklen_t size = sizeof a;
  getsockname(s.fd(), reinterpret_cast<sockaddr*>(&a), &size);
  s.port_ = from_sockaddr(a).port;
  return s;
}

void UdpSocket::let_fragment() {
  set(fd(), IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
  if (stack_ == Stack::both) set(fd(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
}

bool UdpSocket::set_mark(uint32_t mark) {
  mark_ = mark;
  const int value = static_cast<int>(mark);
  return setsockopt(fd(), SOL_SOCKET, SO_MARK, &value, sizeof value) == 0;
}

// ---- receiving

namespace {

// While datagrams come alone, one call takes up to kBatch of them, each to a slot of its own; while they come in trains, one
// train, to as many slots as the longest mostly has.
constexpr size_t kTrains = 1, kTrainSlots = 48;
constexpr size_t kWorthwhile = 4;  // fewer datagrams a message than this are no train
constexpr unsigned kPatience = 8;  // messages that are none, before we expect none
// Trains of shorter datagrams are not worth expecting, so a stranger's few bytes cannot have us read train by train.
constexpr size_t kLongSegment = 512;

struct Receiver {
  std::array<Scatter, UdpSocket::kBatch> scatters;
  std::unique_ptr<uint8_t[]> spills{new uint8_t[UdpSocket::kBatch * Scatter::kSpill]};  // touched where needed alone
  std::vector<iovec> vectors;
  std::array<mmsghdr, UdpSocket::kBatch> messages;
  std::array<sockaddr_in6, UdpSocket::kBatch> names;
  struct alignas(cmsghdr) Control {
    char bytes[CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
  };
  std::array<Control, UdpSocket::kBatch> controls;
  std::vector<Packet> cut;
};

struct FromKernel {
  size_t segment = 0;  // 0: one datagram
  IpAddress local;
};

FromKernel read_control(msghdr& m) {
  FromKernel out;
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
    const auto is = [&](int level, int type, size_t size) {
      return c->cmsg_level == level && c->cmsg_type == type && c->cmsg_len >= CMSG_LEN(size);
    };
    if (is(SOL_UDP, UDP_GRO, sizeof(int))) {
      int n = 0;
      std::memcpy(&n, CMSG_DATA(c), sizeof n);
      out.segment = static_cast<size_t>(std::max(n, 0));
    } else if (is(IPPROTO_IPV6, IPV6_PKTINFO, sizeof(in6_pktinfo))) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      out.local = from_in6(info.ipi6_addr);
    } else if (is(IPPROTO_IP, IP_PKTINFO, sizeof(in_pktinfo))) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      out.local = IpAddress::v4(ntohl(info.ipi_addr.s_addr));
    }
  }
  return out;
}

}  // namespace

namespace {

// Where `count` messages will be put.
void offer(Receiver& r, PacketPool& pool, size_t count, size_t slots, size_t segment) {
  r.vectors.clear();
  r.vectors.reserve(UdpSocket::kBatch * 2 + kTrains * (kTrainSlots + 1));  // pointers into it must hold
  for (size_t i = 0; i < count; i++) {
    r.scatters[i].offer(pool, slots, 0, segment, &r.spills[i * Scatter::kSpill]);
    const size_t first = r.vectors.size();
    r.scatters[i].append_to(r.vectors);
    msghdr& m = r.messages[i].msg_hdr;
    m = {};
    m.msg_name = &r.names[i];
    m.msg_namelen = sizeof r.names[i];
    m.msg_iov = &r.vectors[first];
    m.msg_iovlen = r.vectors.size() - first;
    m.msg_control = r.controls[i].bytes;
    m.msg_controllen = sizeof r.controls[i].bytes;
  }
}

}  // namespace

size_t UdpSocket::receive(SocketId id, PacketPool& pool, std::vector<node::Datagram>& out) {
  thread_local Receiver r;
  const bool trains = train_ != 0;
  const size_t count = trains ? kTrains : kBatch;
  offer(r, pool, count, trains ? kTrainSlots : 1, trains ? train_ : kPacketMax);
  const int said = recvmmsg(fd(), r.messages.data(), static_cast<unsigned>(count), MSG_DONTWAIT, nullptr);
  const size_t n = said > 0 ? static_cast<size_t>(said) : 0;
  for (size_t i = n; i < count; i++) r.scatters[i].give_back();
  size_t datagrams = 0, newest_train = 0;
  for (size_t i = 0; i < n; i++) {
    const size_t size = r.messages[i].msg_len;
    const FromKernel control = read_control(r.messages[i].msg_hdr);
    const size_t whole = std::max<size_t>(size, 1);
    const size_t segment = control.segment != 0 ? std::min(control.segment, whole) : whole;
    r.cut.clear();
    r.scatters[i].cut(pool, size, 0, segment, r.cut);
    if (r.cut.size() >= kWorthwhile) newest_train = segment;
    datagrams += std::max<size_t>(r.cut.size(), 1);
    if (r.cut.empty()) dropped_as_too_long_ += whole / segment;
    const Endpoint remote = from_sockaddr(r.names[i]);
    for (Packet& p : r.cut) out.push_back({id, remote, std::move(p), control.local});
  }
  if (newest_train >= kLongSegment) {
    train_ = newest_train;
    alone_ = 0;
  } else if (n > 0 && ++alone_ > kPatience) {
    train_ = 0;
  }
  // One train a call: there may be more, and the caller must not take it for the last.
  return trains && n == count ? std::max(datagrams, kBatch) : datagrams;
}

// ---- sending

namespace {

constexpr size_t kAtOnce = 256;  // datagrams a call

// How many datagrams of the batch leave together with the first.
size_t train_of(std::span<const node::Datagram> batch) {
  const node::Datagram& first = batch[0];
  const size_t most = most_in_train(first.packet.size());
  size_t n = 1, bytes = first.packet.size();
  for (; n < batch.size() && n < most; n++) {
    const node::Datagram& d = batch[n];
    bytes += d.packet.size();
    const bool may_follow = d.packet.size() <= first.packet.size() && bytes <= kLongestTrain && d.remote == first.remote &&
                            d.local == first.local;
    if (!may_follow) break;
    if (d.packet.size() < first.packet.size()) return n + 1;  // a shorter one is the last
  }
  return n;
}

struct Sender {
  std::array<mmsghdr, kAtOnce> messages;
  std::array<iovec, kAtOnce> vectors;
  std::array<sockaddr_in6, kAtOnce> names;
  struct alignas(cmsghdr) Control {
    char bytes[CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
  };
  std::array<Control, kAtOnce> controls;
  std::array<size_t, kAtOnce> trains;
};

template <class T>
void put_control(msghdr& m, int level, int type, const T& value) {
  auto* c = reinterpret_cast<cmsghdr*>(static_cast<char*>(m.msg_control) + m.msg_controllen);
  c->cmsg_level = level;
  c->cmsg_type = type;
  c->cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(CMSG_DATA(c), &value, sizeof value);
  m.msg_controllen += CMSG_SPACE(sizeof value);
}

void put_source(msghdr& m, const IpAddress& local, bool v4_only) {
  if (v4_only) {
    in_pktinfo info{};
    if (local.is_v4()) std::memcpy(&info.ipi_spec_dst, local.bytes().data(), 4);
    return put_control(m, IPPROTO_IP, IP_PKTINFO, info);
  }
  in6_pktinfo info{};
  to_in6(local, info.ipi6_addr);
  put_control(m, IPPROTO_IPV6, IPV6_PKTINFO, info);
}

}  // namespace

// A device may be refused trains for a moment (its offloads change), so they are tried again; a refused one is sent apart.
size_t UdpSocket::send(std::span<node::Datagram> batch) {
  size_t sent = 0;
  if (alone_for_ != 0 && --alone_for_ == 0) offloads_.trains_out = true;
  const bool trains = offloads_.trains_out;
  while (!batch.empty()) {
    size_t tried = 0;
    sent += send_some(batch, tried);
    batch = batch.subspan(tried);
  }
  if (trains && !offloads_.trains_out) alone_for_ = kAloneAfterRefusal;
  return sent;
}

// One call; `tried`: how many of the batch were sent or given up.
size_t UdpSocket::send_some(std::span<node::Datagram> batch, size_t& tried) {
  thread_local Sender s;
  size_t count = 0, used = 0;
  while (used < batch.size()) {
    const size_t n = offloads_.trains_out ? train_of(batch.subspan(used)) : 1;
    if (used + n > kAtOnce) break;
    const node::Datagram& first = batch[used];
    msghdr& m = s.messages[count].msg_hdr;
    m = {};
    m.msg_name = &s.names[count];
    m.msg_namelen = to_sockaddr(first.remote, stack_, s.names[count]);
    m.msg_iov = &s.vectors[used];
    m.msg_iovlen = n;
    m.msg_control = s.controls[count].bytes;
    for (size_t i = 0; i < n; i++) s.vectors[used + i] = {batch[used + i].packet.data(), batch[used + i].packet.size()};
    if (n > 1) put_control(m, SOL_UDP, UDP_SEGMENT, static_cast<uint16_t>(first.packet.size()));
    if (!first.local.is_unspecified() && first.local.family() == first.remote.address.family())
      put_source(m, first.local, stack_ == Stack::v4_only);
    if (m.msg_controllen == 0) m.msg_control = nullptr;
    s.trains[count++] = n;
    used += n;
  }
  const int done = sendmmsg(fd(), s.messages.data(), static_cast<unsigned>(count), MSG_DONTWAIT);
  size_t sent = 0;
  for (int i = 0; i < done; i++) sent += s.trains[static_cast<size_t>(i)];
  tried = sent;
  if (done > 0) return sent;
  // The first one was refused.  A device that cannot finish checksums says EIO to trains (udp(7)); a datagram that is too long
  // for the link makes its train invalid, and so does an address that this host had when it was spoken to.
  const size_t train = s.trains[0];
  tried = train;
  if (errno == EIO && train > 1) offloads_.trains_out = false;
  if (errno == EMSGSIZE) too_long_ = true;
  const bool final = errno == EAGAIN || errno == EPERM || errno == ENOBUFS;
  if (s.messages[0].msg_hdr.msg_control == nullptr || final) return 0;
  return send_apart(batch.first(train));
}

// The slow way: each alone.  From another address only if ours has gone, never because something else is wrong with it: who
// called one address must not be told of another.
size_t UdpSocket::send_apart(std::span<node::Datagram> train) {
  size_t sent = 0;
  for (node::Datagram& d : train) {
    sockaddr_in6 name;
    iovec part{d.packet.data(), d.packet.size()};
    Sender::Control control;
    msghdr m{};
    m.msg_name = &name;
    m.msg_namelen = to_sockaddr(d.remote, stack_, name);
    m.msg_iov = &part;
    m.msg_iovlen = 1;
    const bool sourced = !d.local.is_unspecified() && d.local.family() == d.remote.address.family();
    if (sourced) {
      m.msg_control = control.bytes;
      put_source(m, d.local, stack_ == Stack::v4_only);
    }
    ssize_t n = sendmsg(fd(), &m, MSG_DONTWAIT);
    if (n < 0 && sourced && (errno == EINVAL || errno == EADDRNOTAVAIL || errno == ENETUNREACH)) {
      m.msg_control = nullptr;
      m.msg_controllen = 0;
      n = sendmsg(fd(), &m, MSG_DONTWAIT);
    }
    if (n < 0 && errno == EMSGSIZE) too_long_ = true;
    sent += n >= 0;
  }
  return sent;
}

}  // namespace macrovpn::shell
