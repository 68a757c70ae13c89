#include "shell/wireguard/uapi_socket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "base/secret.h"
#include "shell/wireguard/uapi.h"

namespace macrovpn::shell {
namespace {

std::string why() {
  return std::strerror(errno);
}

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  if (path.size() >= sizeof a.sun_path)
    return fail("the name of the configuration socket is too long: " + path);
  std::memcpy(a.sun_path, path.data(), path.size());
  return a;
}

Fd new_socket() {
  return Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

bool bind_to(const Fd& s, const sockaddr_un& a) {
  const mode_t mask = umask(0177);
  const bool bound = bind(s.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0;
  umask(mask);
  return bound;
}

bool somebody_answers(const sockaddr_un& a) {
  const Fd s = new_socket();
  return connect(s.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0 || errno == EAGAIN;
}

// Two processes at once must not take each other's fresh file for one that is left over.
Result<Fd> lock_folder(const std::string& folder) {
  mkdir(folder.c_str(), 0755);
  Fd lock(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock || flock(lock.get(), LOCK_EX) != 0)
    return fail("cannot use the folder of configuration sockets " + folder + ": " + why());
  return lock;
}

}  // namespace

UapiSocket::Client::~Client() {
  wipe(in.data(), in.size());
  wipe(out.data(), out.size());
}

Result<UapiSocket> UapiSocket::open(const std::string& folder, const std::string& name, Duration patience) {
  const std::string path = folder + "/" + name + ".sock";
  TRY(const sockaddr_un a, address_of(path));
  constexpr Duration kLookAgain = 5ms;
  for (; patience > Duration::zero() && somebody_answers(a); patience -= kLookAgain)
    usleep(static_cast<useconds_t>(kLookAgain / 1us));
  TRY(const Fd lock, lock_folder(folder));
  if (somebody_answers(a))
    return fail("another process has a WireGuard device of that name: it answers at " + path);
  // `wg` deletes a socket that refuses it, so ours gets its name when it listens already.
  const std::string fresh = folder + "/." + name;
  TRY(const sockaddr_un b, address_of(fresh));
  unlink(fresh.c_str());
  Fd s = new_socket();
  if (!s || !bind_to(s, b) || listen(s.get(), kMaxConnections) != 0 ||
      rename(fresh.c_str(), path.c_str()) != 0)
    return fail("cannot make the configuration socket " + path + ": " + why());
  return UapiSocket(std::move(s), path);
}

Result<UapiSocket> UapiSocket::adopt(Fd listening, const std::string& folder, const std::string& name) {
  int is_listening = 0, domain = 0;
  socklen_t n = sizeof is_listening, m = sizeof domain;
  const bool good = getsockopt(listening.get(), SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &n) == 0 &&
                    getsockopt(listening.get(), SOL_SOCKET, SO_DOMAIN, &domain, &m) == 0;
  if (!good || is_listening == 0 || domain != AF_UNIX)
    return fail("WG_UAPI_FD is not a Unix socket that listens");
  fcntl(listening.get(), F_SETFL, O_NONBLOCK);
  fcntl(listening.get(), F_SETFD, FD_CLOEXEC);
  return UapiSocket(std::move(listening), folder + "/" + name + ".sock");
}

UapiSocket::UapiSocket(Fd listening, std::string path)
    : listening_(std::move(listening)), path_(std::move(path)) {
  struct stat s {};
  if (lstat(path_.c_str(), &s) != 0) return;
  device_ = s.st_dev;
  inode_ = s.st_ino;
}

void UapiSocket::stop() {
  if (!listening_) return;
  if (reactor_ != nullptr) {
    while (!clients_.empty()) close(clients_.begin()->first);
    reactor_->remove(listening_.get());
    reactor_->remove(deletions_.get());
  }
  listening_.reset();
  if (!path_.empty() && is_ours()) unlink(path_.c_str());
}

bool UapiSocket::is_ours() const {
  struct stat s {};
  return lstat(path_.c_str(), &s) == 0 && s.st_dev == device_ && s.st_ino == inode_;
}

void UapiSocket::serve(Reactor& reactor, UapiHandlers handlers, std::function<void()> on_deleted) {
  reactor_ = &reactor;
  handlers_ = std::move(handlers);
  on_deleted_ = std::move(on_deleted);
  reactor.add(listening_.get(), EPOLLIN, [this](uint32_t) { accept_all(); });
  deletions_ = Fd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  const std::string folder = path_.substr(0, path_.rfind('/'));
  inotify_add_watch(deletions_.get(), folder.c_str(),
                    IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF);
  reactor.add(deletions_.get(), EPOLLIN, [this](uint32_t) {
    char sink[4096];
    while (read(deletions_.get(), sink, sizeof sink) > 0) {
    }
    if (!is_ours()) on_deleted_();
  });
  if (!is_ours()) reactor.after(Duration::zero(), on_deleted_);  // before we looked
}

void UapiSocket::accept_all() {
  for (;;) {
    Fd fd(accept4(listening_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    if (clients_.size() >= kMaxConnections) close(clients_.begin()->first);
    const uint64_t id = next_id_++;
    const int number = fd.get();
    clients_[id] = std::make_unique<Client>();
    clients_[id]->fd = std::move(fd);
    reactor_->add(number, EPOLLIN, [this, id](uint32_t) { on_event(id); });
  }
}

void UapiSocket::close(uint64_t id) {
  reactor_->remove(clients_.at(id)->fd.get());
  clients_.erase(id);
}

void UapiSocket::on_event(uint64_t id) {
  Client& c = *clients_.at(id);
  if (!receive(c) || !answer_all(c) || !send_waiting(id, c)) close(id);
}

// False: hang up.
bool UapiSocket::receive(Client& c) {
  char buffer[65536];
  while (!c.ended) {
    const ssize_t n = read(c.fd.get(), buffer, sizeof buffer);
    if (n < 0) break;
    c.ended = n == 0;
    c.in.append(buffer, static_cast<size_t>(n));
    if (c.in.size() > kMaxRequest) return false;
  }
  wipe(buffer, sizeof buffer);
  return c.ended || errno == EAGAIN || errno == EINTR;
}

// Keys stand in answers, so no copy stays behind.
void UapiSocket::put(Client& c, std::string answer) {
  c.out += answer;
  wipe(answer.data(), answer.size());
}

bool UapiSocket::answer_all(Client& c) {
  using uapi::Operation;
  for (;;) {
    const auto more = c.ended ? uapi::More::none : uapi::More::may_come;
    const uapi::Request r = uapi::next_request(c.in, c.searched, more);
    int number = 0;
    switch (r.operation) {
      case Operation::incomplete:
        c.searched = c.in.size();
        return true;
      case Operation::unknown:
        return false;
      case Operation::get:
        put(c, handlers_.get());
        break;
      case Operation::counters:
        put(c, handlers_.counters());
        break;
      case Operation::set:
        number = handlers_.set(r.body);
        break;
      case Operation::bad_get:
        number = EINVAL;
        break;
    }
    c.out += uapi::print_errno(number);
    wipe(c.in.data(), r.size);
    c.in.erase(0, r.size);
    c.searched = 0;
  }
}

bool UapiSocket::send_waiting(uint64_t id, Client& c) {
  size_t sent = 0;
  while (sent < c.out.size()) {
    const ssize_t n = send(c.fd.get(), c.out.data() + sent, c.out.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return false;
    if (n <= 0) break;
    sent += static_cast<size_t>(n);
  }
  wipe(c.out.data(), sent);
  c.out.erase(0, sent);
  if (c.out.empty() && c.ended) return false;
  reactor_->modify(clients_.at(id)->fd.get(), c.out.empty() ? EPOLLIN : EPOLLOUT);
  return true;
}

}  // namespace macrovpn::shell
