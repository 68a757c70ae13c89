#include "shell/nat/upnp_job.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <utility>
#include <vector>

namespace macrovpn::shell {
namespace {

constexpr size_t kMaxLine = 64;

pid_t spawn_helper(const std::vector<std::string>& words, int out) {
  std::vector<char*> argv;
  for (const std::string& w : words) argv.push_back(const_cast<char*>(w.c_str()));
  argv.push_back(nullptr);
  char* environment[] = {nullptr};
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, out, 1);
  posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(&files, 3);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);  // the daemon blocks what ends a program
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  const int failed = posix_spawn(&pid, "/proc/self/exe", &files, &attributes, argv.data(), environment);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  return failed == 0 ? pid : -1;
}

}  // namespace

discovery::UpnpTold parse_upnp_line(const std::string& line) {
  using What = discovery::UpnpTold::What;
  discovery::UpnpTold out;
  if (line.starts_with("refused ")) out.what = What::refused;
  if (!line.starts_with("added ") || !line.ends_with("\n")) return out;
  const char* const end = line.data() + line.size() - 1;
  const auto [rest, error] = std::from_chars(line.data() + 6, end, out.outside_port);
  if (error != std::errc() || rest == end || *rest != ' ' || out.outside_port == 0) return {};
  const auto address = IpAddress::parse(std::string_view(rest + 1, end));
  if (!address) return {};
  if (!address->is_unspecified()) out.outside = address;
  out.what = What::added;
  return out;
}

void UpnpJob::start(const discovery::PortMapper::Config& c, const discovery::UpnpWish& w, Done done) {
  stop();
  done_ = std::move(done);
  int ends[2];
  std::vector<std::string> words{kUpnpHelperName};
  if (w.what == discovery::UpnpWish::What::add) {
    words.insert(words.end(), {"add", c.router.reveal(), c.inside_address.reveal(), std::to_string(w.inside_port),
                               std::to_string(w.wanted_port), std::to_string(w.lifetime)});
  } else {
    words.insert(words.end(), {"remove", c.router.reveal(), std::to_string(w.wanted_port)});
  }
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0) {
    out_ = Fd(ends[0]);
    const Fd theirs(ends[1]);
    pid_ = spawn_helper(words, theirs.get());
  }
  if (pid_ < 0) {  // no process, no UPnP
    out_ = Fd();
    failed_ = reactor_.after(Duration(0), [this] {
      failed_.reset();
      if (const Done tell = std::exchange(done_, {})) tell({});
    });
    return;
  }
  reactor_.add(out_.get(), EPOLLIN, [this](uint32_t) { read_some(); });
}

void UpnpJob::read_some() {
  char part[kMaxLine];
  const ssize_t n = read(out_.get(), part, sizeof part);
  if (n > 0 && said_.size() < kMaxLine) {
    said_.append(part, static_cast<size_t>(n));
    return;
  }
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  const auto told = parse_upnp_line(said_);
  const Done done = std::exchange(done_, {});
  stop();
  if (done) done(told);
}

void UpnpJob::finish(Duration longest) {
  if (pid_ < 0) return;
  pollfd p{out_.get(), POLLIN, 0};
  poll(&p, 1, static_cast<int>(longest / std::chrono::milliseconds(1)));
  stop();
}

void UpnpJob::stop() {
  if (failed_) reactor_.cancel(*std::exchange(failed_, {}));
  if (out_) reactor_.remove(out_.get());
  out_ = Fd();
  said_.clear();
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

}  // namespace macrovpn::shell
