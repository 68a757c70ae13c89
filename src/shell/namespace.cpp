#include "shell/namespace.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace macrovpn::shell {
namespace {

constexpr size_t kMostOutput = 1 << 20;
constexpr unsigned kToolCapabilities[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN};

std::string reason() {
  return std::strerror(errno);
}

Failure<Error> refused(const std::string& why) {
  return fail(
      "cannot make a private network: this system does not let us make user namespaces (" + why +
      "). Allow them (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1, "
      "kernel.apparmor_restrict_unprivileged_userns=0, or the AppArmor profile that comes with the package), "
      "or use the proxy mode");
}

Result<void> write_maps(uid_t uid, gid_t gid) {
  // An unprivileged writer of gid_map must have given up setgroups(2) first (user_namespaces(7)).
  for (const auto& [path, text] :
       {std::pair<const char*, std::string>{"/proc/self/setgroups", "deny"},
        {"/proc/self/uid_map", std::to_string(uid) + " " + std::to_string(uid) + " 1"},
        {"/proc/self/gid_map", std::to_string(gid) + " " + std::to_string(gid) + " 1"}}) {
    if (auto r = write_setting(path, text); !r) return refused(r.error().message);
  }
  return {};
}

Result<void> map_ids(uid_t uid, gid_t gid) {
  // Files in /proc of a process that may not be dumped belong to root.
  const int dumpable = prctl(PR_GET_DUMPABLE);
  prctl(PR_SET_DUMPABLE, 1);
  const auto mapped = write_maps(uid, gid);
  prctl(PR_SET_DUMPABLE, dumpable);
  return mapped;
}

// Besides being needed, it is the proof that our capabilities work: AppArmor may let the namespace be made
// and then refuse every use of it.
bool bring_loopback_up() {
  const Fd s(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq r{};
  std::strcpy(r.ifr_name, "lo");
  r.ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK;
  return s && ioctl(s.get(), SIOCSIFFLAGS, &r) == 0;
}

Result<void> settle_in(Mounts mounts) {
  if (mounts == Mounts::own && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return refused(reason());
  if (!bring_loopback_up()) return refused(reason());
  return {};
}

void raise_ambient_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (syscall(SYS_capget, &header, data) != 0) return;
  for (const unsigned c : kToolCapabilities)
    data[c / 32].inheritable |= data[c / 32].permitted & (1u << (c % 32));
  if (syscall(SYS_capset, &header, data) != 0) return;
  for (const unsigned c : kToolCapabilities) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0);
}

Fd memory_file(std::string_view contents) {
  Fd f(memfd_create("macrovpn", MFD_CLOEXEC));
  if (!f || pwrite(f.get(), contents.data(), contents.size(), 0) != static_cast<ssize_t>(contents.size()))
    return {};
  return f;
}

std::string contents_of(const Fd& f, size_t limit) {
  std::string s(limit, '\0');
  const ssize_t n = pread(f.get(), s.data(), s.size(), 0);
  s.resize(n > 0 ? static_cast<size_t>(n) : 0);
  while (!s.empty() && s.back() == '\n') s.pop_back();
  return s;
}

struct ToolFiles {
  Fd in = memory_file(""), out = memory_file(""), errors = memory_file("");
};

[[noreturn]] void exec_tool(const std::vector<std::string>& argv, const ToolFiles& f) {
  raise_ambient_capabilities();
  if (dup2(f.in.get(), 0) < 0 || dup2(f.out.get(), 1) < 0 || dup2(f.errors.get(), 2) < 0) _exit(126);
  std::vector<char*> args;
  for (const std::string& a : argv) args.push_back(const_cast<char*>(a.c_str()));
  args.push_back(nullptr);
  const char* environment[] = {"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", nullptr};
  for (const char* folder : {"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"}) {
    const std::string path = folder + argv[0];
    execve(path.c_str(), args.data(), const_cast<char**>(environment));
  }
  _exit(127);
}

int wait_for(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

Result<void> run_with(const std::vector<std::string>& argv, const ToolFiles& f) {
  MV_ASSERT(!argv.empty());
  if (!f.in || !f.out || !f.errors)
    return fail("cannot run " + argv[0] + ": the system is out of memory or descriptors");
  const pid_t pid = fork();
  if (pid < 0) return fail("cannot run " + argv[0] + ": " + reason());
  if (pid == 0) exec_tool(argv, f);
  const int status = wait_for(pid);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
    return fail("the program '" + argv[0] + "' is not installed: install iproute2 and nftables");
  return fail("'" + argv[0] + "' failed: " + contents_of(f.errors, 512));
}

void close_all_but(int keep) {
  const auto k = static_cast<unsigned>(keep);
  if (k > 3) close_range(3, k - 1, 0);
  close_range(k + 1, ~0u, 0);
}

}  // namespace

Result<void> enter_namespaces(Mounts mounts) {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  const int flags = CLONE_NEWNET | (mounts == Mounts::own ? CLONE_NEWNS : 0);
  if (unshare(CLONE_NEWUSER | flags) == 0) {
    TRY_VOID(map_ids(uid, gid));
  } else if (uid != 0 || unshare(flags) != 0) {
    return refused(reason());
  }
  return settle_in(mounts);
}

Result<Inside> fork_into_namespaces() {
  Inside out{-1, geteuid(), getegid(), true};
  const unsigned long flags = CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | SIGCHLD;
  out.pid = static_cast<pid_t>(syscall(SYS_clone, flags | CLONE_NEWUSER, nullptr, nullptr, nullptr, 0));
  if (out.pid < 0 && out.uid == 0) {
    out.user_namespace = false;
    out.pid = static_cast<pid_t>(syscall(SYS_clone, flags, nullptr, nullptr, nullptr, 0));
  }
  if (out.pid < 0) return refused(reason());
  return out;
}

Result<void> Inside::settle() const {
  if (user_namespace) TRY_VOID(map_ids(uid, gid));
  TRY_VOID(settle_in(Mounts::own));
  // Refused where parts of the present one are masked: then processes of outside stay in sight.
  static_cast<void>(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr));
  return {};
}

Result<void> run_tool(const std::vector<std::string>& argv, std::string_view input) {
  ToolFiles f;
  f.in = memory_file(input);
  return run_with(argv, f);
}
Result<std::string> ask_tool(const std::vector<std::string>& argv) {
  const ToolFiles f;
  TRY_VOID(run_with(argv, f));
  return contents_of(f.out, kMostOutput);
}
Result<void> run_ip(std::string_view batch) {
  return run_tool({"ip", "-batch", "-"}, batch);
}
Result<void> run_ip6(std::string_view batch) {
  return run_tool({"ip", "-6", "-batch", "-"}, batch);
}
Result<void> run_nft(std::string_view rules) {
  return run_tool({"nft", "-f", "-"}, rules);
}

Result<void> write_setting(const std::string& path, std::string_view value) {
  const Fd f(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!f || write(f.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
    return fail(path + ": " + reason());
  return {};
}

Result<Helper> Helper::start(const std::function<int(int)>& body) {
  TRY(SocketPair channel, make_fd_channel());
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return fail("cannot start a helper process: " + reason());
  if (pid > 0) return Helper(pid, std::move(channel.a));
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it died before the line above
  close_all_but(channel.b.get());
  _exit(body(channel.b.get()));
}

Helper& Helper::operator=(Helper&& o) noexcept {
  if (this != &o) {
    stop();
    pid_ = std::exchange(o.pid_, -1);
    channel_ = std::move(o.channel_);
  }
  return *this;
}

void Helper::stop() {
  channel_.reset();
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  wait_for(pid_);
  pid_ = -1;
}

void report_error(int channel, const Error& e) {
  const std::string text = "E" + e.message.substr(0, kMaxPassedBody - 1);
  // A parent that is gone needs no report.
  static_cast<void>(send_fds(channel, as_bytes(text), {}).ok());
}

Result<void> report_ready(int channel, Bytes body, std::span<const int> fds) {
  std::vector<uint8_t> out;
  Writer(out).u8('R').bytes(body);
  return send_fds(channel, out, fds);
}

Result<FdMessage> await_report(int channel) {
  TRY(FdMessage m, recv_fds(channel));
  if (m.body.empty()) return fail("the helper process has not reported yet");
  if (m.body[0] == 'E') return fail(std::string(m.body.begin() + 1, m.body.end()));
  m.body.erase(m.body.begin());
  return m;
}

}  // namespace macrovpn::shell
