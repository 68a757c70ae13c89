#include "shell/wireguard/link_watch.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "shell/interface_request.h"
#include "shell/offload/train.h"

#ifndef TUNGETDEVNETNS
#define TUNGETDEVNETNS _IO('T', 227)
#endif

namespace macrovpn::shell {
namespace {

ino_t inode_of(const Fd& fd) {
  struct stat s {};
  return fstat(fd.get(), &s) == 0 ? s.st_ino : 0;
}

}  // namespace

std::string name_of_tun(int tun) {
  ifreq r{};
  if (ioctl(tun, TUNGETIFF, &r) != 0) return {};
  return {r.ifr_name, strnlen(r.ifr_name, IFNAMSIZ)};
}

Result<void> set_mtu(const std::string& name, unsigned mtu) {
  const Fd s(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq r = interface_request(name);
  r.ifr_mtu = static_cast<int>(mtu);
  if (!s || ioctl(s.get(), SIOCSIFMTU, &r) != 0)
    return fail(std::string("cannot set the MTU of the device: ") + std::strerror(errno));
  return {};
}

namespace {

bool forwards() {
  char says = '0';
  const Fd setting(open("/proc/sys/net/ipv4/ip_forward", O_RDONLY | O_CLOEXEC));
  return read(setting.get(), &says, 1) == 1 && says != '0';
}

}  // namespace

bool shorten_bursts(const std::string& name) {
  if (forwards()) return false;
  struct {
    nlmsghdr header{};
    ifinfomsg link{};
    rtattr attribute{};
    uint32_t segments = kLongTrain;
  } m;
  m.header.nlmsg_len = sizeof m;
  m.header.nlmsg_type = RTM_NEWLINK;
  m.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  m.link.ifi_index = static_cast<int>(if_nametoindex(name.c_str()));
  m.attribute.rta_type = IFLA_GSO_MAX_SEGS;
  m.attribute.rta_len = RTA_LENGTH(sizeof m.segments);
  struct {
    nlmsghdr header;
    nlmsgerr error;
  } answer{};
  const Fd s(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  return s && m.link.ifi_index != 0 && send(s.get(), &m, sizeof m, 0) == static_cast<ssize_t>(sizeof m) &&
         recv(s.get(), &answer, sizeof answer, MSG_TRUNC) >= static_cast<ssize_t>(NLMSG_LENGTH(sizeof(int))) &&
         answer.header.nlmsg_type == NLMSG_ERROR && answer.error.error == 0;
}

Result<std::unique_ptr<LinkWatch>> LinkWatch::open(Reactor& reactor, int tun, const DeviceLog& log,
                                                   Told told) {
  Fd home(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  std::unique_ptr<LinkWatch> watch(new LinkWatch(reactor, tun, log, std::move(home), std::move(told)));
  TRY_VOID(watch->follow());
  watch->look();
  return watch;
}

LinkWatch::~LinkWatch() {
  if (events_) reactor_.remove(events_.get());
}

// Sockets where the device is now, if that is elsewhere than before.
Result<void> LinkWatch::follow() {
  Fd place(ioctl(tun_, TUNGETDEVNETNS));
  // Older kernels, and users who own the device but no network, cannot ask: then it is expected here.
  const ino_t where = place ? inode_of(place) : inode_of(home_);
  if (events_ && where == where_) return {};
  where_ = where;
  const bool away = where != inode_of(home_);
  reachable_ = !away || setns(place.get(), CLONE_NEWNET) == 0;
  if (!reachable_) return {};
  const auto listening = listen_here();
  if (away) MV_ASSERT(setns(home_.get(), CLONE_NEWNET) == 0);
  return listening;
}

Result<void> LinkWatch::listen_here() {
  if (events_) reactor_.remove(events_.get());
  questions_ = Fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  events_ = Fd(socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE));
  sockaddr_nl a{};
  a.nl_family = AF_NETLINK;
  a.nl_groups = RTMGRP_LINK;
  if (!questions_ || !events_ || bind(events_.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0)
    return fail(std::string("cannot hear of changes of the device: ") + std::strerror(errno));
  reactor_.add(events_.get(), EPOLLIN, [this](uint32_t) {
    // What it says does not matter, only that something changed: we look ourselves.  That also covers a full
    // queue.
    char buffer[16384];
    while (recv(events_.get(), buffer, sizeof buffer, 0) > 0 || errno == ENOBUFS) {
    }
    look();
  });
  return {};
}

void LinkWatch::look() {
  if (!follow()) return;  // out of descriptors, say: the next event tries again
  Link now = link();
  if (now.mtu > kLargestMtu) put_back(now);
  if (now == link_) return;
  link_ = now;
  told_(now);
}

void LinkWatch::put_back(Link& now) {
  ifreq r = interface_request(name_of_tun(tun_));
  r.ifr_mtu = kLargestMtu;
  if (ioctl(questions_.get(), SIOCSIFMTU, &r) != 0) return;
  log_.error("an MTU of " + std::to_string(now.mtu) + " was set; longer packets than " +
             std::to_string(kLargestMtu) + " bytes do not fit here, so it is that");
  now.mtu = kLargestMtu;
}

Link LinkWatch::link() const {
  Link out = link_;
  if (!reachable_) {
    out.up = true;
    return out;
  }
  ifreq r = interface_request(name_of_tun(tun_));
  if (ioctl(questions_.get(), SIOCGIFFLAGS, &r) == 0) out.up = (r.ifr_flags & IFF_UP) != 0;
  if (ioctl(questions_.get(), SIOCGIFMTU, &r) == 0) out.mtu = static_cast<unsigned>(r.ifr_mtu);
  return out;
}

}  // namespace macrovpn::shell
