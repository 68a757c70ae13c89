#include "shell/tun.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "shell/interface_request.h"
#include "shell/namespace.h"
#include "shell/offload/train.h"

namespace macrovpn::shell {

namespace {

// name: "…%d" becomes the one that the kernel chose.
Result<Fd> open_queue(std::string& name, int more_flags) {
  MV_ASSERT(!name.empty() && name.size() < IFNAMSIZ);
  Fd fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return fail(std::string("cannot open /dev/net/tun: ") + std::strerror(errno));
  ifreq r = interface_request(name);
  r.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | more_flags);
  if (ioctl(fd.get(), TUNSETIFF, &r) != 0)
    return fail(std::string("cannot make a TUN device: ") + std::strerror(errno));
  name.assign(r.ifr_name, strnlen(r.ifr_name, IFNAMSIZ));
  return fd;
}

}  // namespace

Result<Fd> open_tun(const std::string& wanted) {
  std::string name = wanted;
  return open_queue(name, 0);
}

Result<std::vector<Fd>> open_tun_queues(const std::string& wanted, size_t count) {
  std::string name = wanted;
  std::vector<Fd> out;
  while (out.size() < count) {
    // A device that is there may be another process's, whose packets a queue more would take.
    TRY(Fd queue, open_queue(name, IFF_MULTI_QUEUE | (out.empty() ? IFF_TUN_EXCL : 0)));
    out.push_back(std::move(queue));
  }
  return out;
}

namespace {

// A veth end that was up before its peer gets its carrier, and until then loses what is sent, when the
// kernel's link watch comes round, which can take a second.
void wait_until_running(const std::string& name) {
  const Fd s(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq r = interface_request(name);
  for (int i = 0; i < 2000 && ioctl(s.get(), SIOCGIFFLAGS, &r) == 0 && (r.ifr_flags & IFF_RUNNING) == 0; i++)
    usleep(1000);
}

// The kernel enters the local route of a new IPv6 address later, from a work queue; until then it drops what
// comes for it.
void wait_until_local(const IpAddress& a) {
  const std::string line = to_hex(a.bytes()) + " 80 ";
  for (int i = 0; i < 2000; i++) {
    std::ifstream in("/proc/net/ipv6_route");
    const std::string routes{std::istreambuf_iterator<char>(in), {}};
    if (routes.empty() || routes.find(line) != std::string::npos) return;
    usleep(1000);
  }
}

}  // namespace

Result<void> configure_link(const std::string& name, const LinkSetup& setup, std::string_view extra) {
  // A kernel without IPv6 has no such folder; then there is nothing to quieten.
  const std::string v6 = "/proc/sys/net/ipv6/conf/" + name + "/";
  for (const char* setting : {"accept_ra", "autoconf", "router_solicitations"})
    static_cast<void>(write_setting(v6 + setting, "0").ok());
  std::string batch = "link set dev " + name + " addrgenmode none\n";
  batch += "link set dev " + name + " mtu " + std::to_string(setup.mtu) + " txqueuelen 1000" +
           (setup.forwards ? "" : " gso_max_segs " + std::to_string(kLongTrain)) + " up\n";
  for (const InterfaceAddress& a : setup.addresses)
    batch += "addr add " + a.address.reveal() + "/" + std::to_string(a.length) + " dev " + name +
             (a.address.is_v4() ? "\n" : " nodad\n");
  batch += extra;
  TRY_VOID(run_ip(batch));
  wait_until_running(name);
  wait_until_running(name + "p");  // the far end of a veth pair of ours, if it is one
  for (const InterfaceAddress& a : setup.addresses)
    if (!a.address.is_v4()) wait_until_local(a.address);
  return {};
}

}  // namespace macrovpn::shell
