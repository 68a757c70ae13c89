#include "shell/nat/upnp_helper.h"

#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <miniupnpc/upnperrors.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>
#include <vector>

#include "model/ip.h"

namespace macrovpn::shell {
namespace {

constexpr int kDiscoveryMs = 400;  // for each of six kinds of router; who is slower is heard in the next one's time
constexpr gid_t kNobody = 65534;
constexpr int kOnlyPermanentLeases = 725;

void limit(__rlimit_resource_t what, rlim_t most) {
  const rlimit r{most, most};
  setrlimit(what, &r);
}

// What an exploited parser of XML would want.  Refused calls fail with EPERM; the library takes that as any error.
bool filter_calls() {
  constexpr unsigned kRefused[] = {
#ifdef SYS_open
      SYS_open,
#endif
#ifdef SYS_fork
      SYS_fork, SYS_vfork, SYS_creat, SYS_unlink, SYS_rename, SYS_mkdir, SYS_chmod, SYS_symlink, SYS_link,
#endif
      SYS_openat, SYS_openat2, SYS_execve, SYS_execveat, SYS_clone, SYS_clone3, SYS_ptrace, SYS_kill, SYS_tkill, SYS_process_vm_readv,
      SYS_process_vm_writev, SYS_unlinkat, SYS_renameat2, SYS_mkdirat, SYS_fchmodat, SYS_linkat, SYS_symlinkat, SYS_mount, SYS_setns,
      SYS_unshare, SYS_bpf, SYS_keyctl, SYS_add_key, SYS_io_uring_setup, SYS_userfaultfd, SYS_perf_event_open, SYS_memfd_create,
      SYS_pidfd_getfd, SYS_prctl, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_pidfd_open, SYS_pidfd_send_signal,
      SYS_truncate, SYS_ftruncate, SYS_socketpair};
  std::vector<sock_filter> f;
#ifdef __x86_64__
  // A call by another door (int 0x80) has other numbers.
  f.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)));
  f.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
  f.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
#endif
  f.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
#ifdef __x86_64__
  // Calls of the 32-bit-pointer table have other numbers.
  f.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 0, 1));
  f.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
#endif
  for (const unsigned nr : kRefused) {
    f.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1));
    f.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
  }
  // No sockets but of networks: the daemon's control socket is this user's.  The last test, since it loads another word.
  f.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 4));
  f.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])));
  f.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0));
  f.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0));
  f.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
  f.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program{static_cast<unsigned short>(f.size()), f.data()};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool give_up_rights() {
  if (geteuid() == 0 && (setgroups(0, nullptr) != 0 || setgid(kNobody) != 0 || setuid(kNobody) != 0)) {
    // In a user namespace with one id there is no nobody to become; its root has rights in there alone.
    if (errno != EINVAL && errno != EPERM) return false;
  }
  limit(RLIMIT_AS, 256u << 20);
  limit(RLIMIT_CPU, 10);
  limit(RLIMIT_NOFILE, 24);
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_CORE, 0);
  prctl(PR_SET_DUMPABLE, 0);
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && filter_calls();
}

bool is_at(const char* url, const std::string& router) {
  const std::string prefix = "http://" + router;
  if (url == nullptr || std::strncmp(url, prefix.c_str(), prefix.size()) != 0) return false;
  const char next = url[prefix.size()];
  return next == ':' || next == '/';
}

struct Router {
  UPNPUrls urls{};
  IGDdatas data{};
  bool found = false;
};

// The first device at the router's own address that says it is one and is connected.
Router find_router(const std::string& address) {
  Router r;
  int error = 0;
  UPNPDev* const all = upnpDiscover(kDiscoveryMs, nullptr, nullptr, 0, 0, 2, &error);
  for (UPNPDev* d = all; d != nullptr && !r.found; d = d->pNext) {
    if (!is_at(d->descURL, address)) continue;
    UPNPDev alone = *d;
    alone.pNext = nullptr;
    char ours[64] = "";
    const int kind = UPNP_GetValidIGD(&alone, &r.urls, &r.data, ours, sizeof ours);
    // 1: connected, 2: says that it is not, which some say of private outside addresses
    r.found = (kind == 1 || kind == 2) && is_at(r.urls.controlURL, address);
  }
  return r;
}

int say_code(int code) {
  std::printf("refused %d\n", code);
  return 0;
}

int add(const Router& r, char** argv) {
  const char *ours = argv[2], *inside = argv[3], *lifetime = argv[5];
  unsigned port = static_cast<unsigned>(std::strtoul(argv[4], nullptr, 10));
  int code = 0;
  // The wanted port may be another's (718): then its neighbours.
  for (int i = 0; i < 4; i++, port = port % 65535 + 1) {
    const std::string outside = std::to_string(port);
    const auto ask = [&](const char* lease) {
      return UPNP_AddPortMapping(r.urls.controlURL, r.data.first.servicetype, outside.c_str(), inside, ours, "udp port", "UDP", nullptr, lease);
    };
    code = ask(lifetime);
    if (code == kOnlyPermanentLeases) code = ask("0");
    if (code != UPNPCOMMAND_SUCCESS) continue;
    char address[40] = "";
    if (UPNP_GetExternalIPAddress(r.urls.controlURL, r.data.first.servicetype, address) != 0 || !IpAddress::parse(address))
      std::strcpy(address, "0.0.0.0");
    std::printf("added %u %s\n", port, address);
    return 0;
  }
  return say_code(code);
}

}  // namespace

int run_upnp_helper(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  const bool adds = what == "add" && argc == 7, removes = what == "remove" && argc == 4;
  if (!adds && !removes) return 2;
  if (!give_up_rights()) return 1;
  const Router r = find_router(argv[2]);
  if (!r.found) {
    std::puts("no-router");
    return 0;
  }
  if (adds) return add(r, argv + 1);
  const int code = UPNP_DeletePortMapping(r.urls.controlURL, r.data.first.servicetype, argv[3], "UDP", nullptr);
  if (code != UPNPCOMMAND_SUCCESS) return say_code(code);
  std::puts("removed");
  return 0;
}

}  // namespace macrovpn::shell
