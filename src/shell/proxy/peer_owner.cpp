#include "shell/proxy/peer_owner.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <fstream>

#include "shell/exit/socket_address.h"

namespace macrovpn::shell {
namespace {

struct Request {
  nlmsghdr header;
  inet_diag_req_v2 body;
};

constexpr const char* kCannotTell =
    "this system does not say whose a local connection is, so other users could use the proxy: load the "
    "kernel's modules tcp_diag and udp_diag, or use `macrovpn run`";

Request make_request(uint8_t protocol, const Endpoint& source, const Endpoint& destination,
                     uint32_t sequence) {
  Request r{};
  r.header.nlmsg_len = sizeof r;
  r.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  r.header.nlmsg_flags = NLM_F_REQUEST;
  r.header.nlmsg_seq = sequence;
  r.body.sdiag_family = static_cast<uint8_t>(family_of(source.address));
  r.body.sdiag_protocol = protocol;
  r.body.idiag_states = ~0u;
  r.body.id.idiag_sport = htons(source.port);
  r.body.id.idiag_dport = htons(destination.port);
  const Bytes from = source.address.bytes(), to = destination.address.bytes();
  std::memcpy(r.body.id.idiag_src, from.data(), from.size());
  std::memcpy(r.body.id.idiag_dst, to.data(), to.size());
  r.body.id.idiag_cookie[0] = r.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  return r;
}

// Where users are mapped, all that have no place in the map look like this one.
uid_t overflow_uid() {
  uid_t uid = 65534;
  std::ifstream("/proc/sys/kernel/overflowuid") >> uid;
  return uid;
}

// A connection of our own, as the trial.
bool tells_of_ours(PeerOwner& owner) {
  const Fd listener = open_socket(AF_INET, SOCK_STREAM),
           client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  SocketAddress any({*IpAddress::parse("127.0.0.1"), 0});
  if (!listener || !client || bind(listener.get(), any.data(), any.size) != 0 ||
      listen(listener.get(), 1) != 0)
    return false;
  const auto at = local_of(listener.get());
  const SocketAddress to(*at);
  if (connect(client.get(), to.data(), to.size) != 0) return false;
  const auto from = local_of(client.get());
  return from && owner.is_ours_tcp(*from, *at);
}

}  // namespace

Result<PeerOwner> PeerOwner::open() {
  Fd netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG));
  if (!netlink) return fail(kCannotTell);
  if (geteuid() == overflow_uid())
    return fail(
        "the proxy cannot run as this user: the kernel shows unknown users as the same one; use another");
  PeerOwner owner(std::move(netlink), geteuid());
  if (!tells_of_ours(owner)) return fail(kCannotTell);
  return owner;
}

bool PeerOwner::is_ours_tcp(const Endpoint& peer, const Endpoint& ours) {
  return is_ours(IPPROTO_TCP, peer, ours);
}

// Of UDP the kernel looks for the receiver of a packet, so the ends stand the other way round.
bool PeerOwner::is_ours_udp(const Endpoint& peer, const Endpoint& ours) {
  return is_ours(IPPROTO_UDP, ours, peer);
}

bool PeerOwner::is_ours(uint8_t protocol, const Endpoint& source, const Endpoint& destination) {
  if (source.address.family() != destination.address.family()) return false;
  const Request request = make_request(protocol, source, destination, ++sequence_);
  if (send(netlink_.get(), &request, sizeof request, 0) != static_cast<ssize_t>(sizeof request)) return false;
  // The kernel has answered before send() returned.
  alignas(nlmsghdr) char answer[4096];
  const ssize_t n = recv(netlink_.get(), answer, sizeof answer, MSG_DONTWAIT);
  nlmsghdr header;
  inet_diag_msg found;
  if (n < static_cast<ssize_t>(sizeof header + sizeof found)) return false;
  std::memcpy(&header, answer, sizeof header);
  std::memcpy(&found, answer + sizeof header, sizeof found);
  return header.nlmsg_type == SOCK_DIAG_BY_FAMILY && header.nlmsg_seq == sequence_ &&
         found.idiag_inode != 0 && found.idiag_uid == uid_;
}

}  // namespace macrovpn::shell
