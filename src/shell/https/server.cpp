#include "shell/https/server.h"

#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "shell/exit/socket_address.h"
#include "shell/https/page.h"
#include "shell/websocket/admission.h"

namespace macrovpn::shell::https {

using Outcome = tls::Stream::Outcome;
using websocket::Head;

namespace {

constexpr int kBacklog = 128;
constexpr Duration kSweep = 1s;
constexpr int kReadsOfPage = 4;  // a turn, of what nobody wants

}  // namespace

struct Server::Connection {
  Endpoint remote;
  CallerKey who;
  Phase phase = Phase::handshake;
  tls::Stream stream;  // until it is the link's
  websocket::Key expected{};
  std::vector<uint8_t> said;  // the request, or what of the page is still to be sent
  Mono deadline;
  bool closing = false;
  uint32_t events = EPOLLIN, watched = EPOLLIN;
  std::unique_ptr<Link> link{};

  int fd() const { return link ? link->fd() : stream.fd(); }
};

Server::Server(Reactor& reactor, PacketPool& pool, Rng& rng, tls::Context context, ServerConfig config, OnDatagrams on_datagrams)
    : reactor_(reactor),
      pool_(pool),
      rng_(rng),
      context_(std::move(context)),
      config_(std::move(config)),
      on_datagrams_(std::move(on_datagrams)),
      acceptor_(std::make_unique<Acceptor>(
          reactor, [this](Fd s) { welcome(std::move(s)); }, [this] { counters_.refused++; })),
      bell_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (config_.page.empty()) config_.page = kStandardPage;
  reactor_.add(bell_.get(), EPOLLIN, [this](uint32_t) { on_bell(); });
}

Server::~Server() {
  if (timer_) reactor_.cancel(*timer_);
  acceptor_.reset();
  reactor_.remove(bell_.get());
  while (!connections_.empty()) end(connections_.begin()->first);
}

Result<void> Server::listen(const Endpoint& local) {
  std::vector<Endpoint> where{local};
  if (local.address.is_v4() && local.address.is_unspecified()) where.push_back({IpAddress::v6({}), local.port});
  for (const Endpoint& e : where) {
    Fd s = open_socket(family_of(e.address), SOCK_STREAM);
    if (!s && where.size() == 2 && !e.address.is_v4()) continue;  // a system without IPv6
    const SocketAddress address(e);
    set_option(s.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    const bool listens = s && bind(s.get(), address.data(), address.size) == 0 && ::listen(s.get(), kBacklog) == 0;
    if (!listens) {
      std::string why = std::strerror(errno);
      if (errno == EADDRINUSE) why = "another program uses it; stop that, or choose another port";
      if (errno == EACCES) why = "ports below 1024 are root's; start the relay as root, or lower net.ipv4.ip_unprivileged_port_start";
      return fail("cannot listen on TCP port " + std::to_string(e.port) + ": " + why);
    }
    port_ = local_of(s.get())->port;
    acceptor_->add(s.get());
    listeners_.push_back(std::move(s));
  }
  return {};
}

// ---- strangers

void Server::welcome(Fd socket) {
  const auto remote = peer_of(socket.get());
  if (!remote) return;
  const Mono now = reactor_.now().mono;
  const CallerKey who = caller_key(remote->address);
  const bool has_share = shares_of_strangers_.of(who) < kMostStrangersOfSource;
  if (!has_share || !handshakes_of_sources_.allow(now, who, kHandshakesOfSource) || !handshakes_.take(now, kHandshakes)) {
    counters_.refused++;
    return;
  }
  // Only for who may come in: else one source could drive out all others.
  if (strangers_.size() == kMostStrangers) end(*strangers_.begin());
  MV_ASSERT(shares_of_strangers_.try_add(who, kMostStrangersOfSource));
  prepare_socket(socket.get());
  auto stream = tls::Stream::accept(context_, std::move(socket));
  if (!stream) return shares_of_strangers_.remove(who);
  const Id id = next_++;
  auto c = std::unique_ptr<Connection>(
      new Connection{.remote = *remote, .who = who, .stream = std::move(stream).value(), .deadline = now + kHandshakeTime});
  reactor_.add(c->fd(), EPOLLIN, [this, id](uint32_t events) { on_event(id, events); });
  connections_.emplace(id, std::move(c));
  strangers_.insert(id);
  if (!timer_) sweep();
}

void Server::on_event(Id id, uint32_t events) {
  const auto it = connections_.find(id);
  if (it == connections_.end()) return;
  Connection& c = *it->second;
  if (!advance(id, c, events)) return end(id);
  watch(c);
}

// False: the connection is over.
bool Server::advance(Id id, Connection& c, uint32_t events) {
  if (c.phase == Phase::handshake) {
    if (!shake_hands(c)) return false;
    if (c.phase == Phase::handshake) return true;
  }
  if (c.phase == Phase::request && !read_request(id, c)) return false;
  if (c.phase == Phase::page) return write_page(c);
  return c.phase != Phase::link || serve(c, events);
}

bool Server::shake_hands(Connection& c) {
  const Outcome o = c.stream.shake_hands();
  c.events = o == Outcome::wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN;
  if (o == Outcome::ended) return false;
  if (o != Outcome::done) return true;
  // Now, before a word was said: it costs everybody the same.
  c.expected = websocket::admission(config_.network, config_.relay, c.stream.exporter(websocket::kExporterLabel));
  c.phase = Phase::request;
  c.deadline = reactor_.now().mono + kRequestTime;
  return true;
}

bool Server::read_request(Id id, Connection& c) {
  ByteArray<4096> buffer;
  for (;;) {
    size_t n = 0;
    const Outcome o = c.stream.read(buffer, n);
    if (o == Outcome::ended) return judge(id, c, Said::all);
    if (o != Outcome::done) return true;
    c.said.insert(c.said.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(n));
    if (!judge(id, c, Said::perhaps_more)) return false;
    if (c.phase != Phase::request) return true;
  }
}

bool Server::judge(Id id, Connection& c, Said how) {
  const Head head = websocket::read_head(c.said);
  if (head.parse == Head::Parse::more && how == Said::perhaps_more) return true;
  const auto key = websocket::read_request(head);
  if (websocket::is_admitted(c.expected, key) && shares_of_links_.try_add(c.who, kMostLinksOfSource))
    return become_link(id, c, *key, head.used);
  counters_.pages++;
  const std::string page = page_answer(config_.page, reactor_.now().wall);
  c.said.assign(page.begin(), page.end());
  c.phase = Phase::page;
  c.deadline = reactor_.now().mono + kPageTime;
  return true;
}

// Then what is still being said is read and forgotten, as a reset could take the page away from who has not read it.
bool Server::write_page(Connection& c) {
  while (!c.said.empty()) {
    size_t n = 0;
    const Outcome o = c.stream.write(c.said, n);
    c.events = o == Outcome::wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN;
    if (o == Outcome::ended) return false;
    if (o != Outcome::done) return true;
    c.said.erase(c.said.begin(), c.said.begin() + static_cast<std::ptrdiff_t>(n));
  }
  c.events = EPOLLIN;
  if (!std::exchange(c.closing, true)) c.stream.close();
  ByteArray<4096> nobody;
  for (int i = 0; i < kReadsOfPage; i++) {
    const ssize_t n = recv(c.fd(), nobody.data(), nobody.size(), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return false;
    if (n < 0) break;
  }
  return true;
}

// ---- links

bool Server::become_link(Id id, Connection& c, const websocket::Key& key, size_t used) {
  shares_of_strangers_.remove(c.who);
  strangers_.erase(id);
  c.phase = Phase::link;
  counters_.admitted++;
  const std::string answer = websocket::write_answer(key);
  size_t n = 0;
  // The first bytes that we say: the socket has room for them.
  if (c.stream.write(as_bytes(answer), n) != Outcome::done || n != answer.size()) return false;
  c.link = std::make_unique<Link>(websocket::Role::server, std::move(c.stream), pool_, rng_);
  if (const auto old = by_remote_.find(c.remote); old != by_remote_.end()) end(Id{old->second});
  by_remote_[c.remote] = id;
  c.deadline = reactor_.now().mono + kFirstAnswer;
  got_.clear();
  const bool open = c.link->take_early(Bytes(c.said).subspan(used), got_) == Link::State::open;
  c.said = {};
  return open && hand_over(c);
}

bool Server::serve(Connection& c, uint32_t events) {
  got_.clear();
  bool open = true;
  if ((events & EPOLLOUT) != 0) open = c.link->on_writable() == Link::State::open;
  if (open && (events & ~uint32_t{EPOLLOUT}) != 0) open = c.link->read(got_) == Link::State::open;
  return hand_over(c) && open;
}

bool Server::hand_over(Connection& c) {
  if (got_.empty()) return true;
  datagrams_.clear();
  for (Packet& p : got_) datagrams_.push_back({kHttpsSocket, c.remote, std::move(p)});
  got_.clear();
  on_datagrams_(datagrams_);
  datagrams_.clear();
  return true;
}

// What the node answers may come back while it is still being given more.
void Server::send(std::span<node::Datagram> datagrams) {
  std::set<Id> touched;
  for (node::Datagram& d : datagrams) {
    const auto it = by_remote_.find(d.remote);
    if (it == by_remote_.end() || !d.packet) continue;
    connections_.at(it->second)->link->queue(std::move(d.packet));
    touched.insert(it->second);
    connections_.at(it->second)->deadline = reactor_.now().mono + kIdle;
  }
  for (const Id id : touched) {
    Connection& c = *connections_.at(id);
    // An end is left to the next event or the sweep: the connection may be in use further up.
    if (c.link->send() == Link::State::ended) c.deadline = kLongAgo;
    watch(c);
  }
}

void Server::send_from_elsewhere(std::span<node::Datagram> datagrams) {
  {
    const std::lock_guard lock(mutex_);
    for (const node::Datagram& d : datagrams) {
      if (from_elsewhere_.size() == kMostFromOthers) break;
      from_elsewhere_.emplace_back(d.remote, std::vector<uint8_t>(d.packet.bytes().begin(), d.packet.bytes().end()));
    }
  }
  const uint64_t one = 1;
  static_cast<void>(::write(bell_.get(), &one, sizeof one) == sizeof one);
}

void Server::on_bell() {
  uint64_t count = 0;
  static_cast<void>(::read(bell_.get(), &count, sizeof count) == sizeof count);
  std::vector<std::pair<Endpoint, std::vector<uint8_t>>> all;
  {
    const std::lock_guard lock(mutex_);
    all.swap(from_elsewhere_);
  }
  std::vector<node::Datagram> datagrams;
  for (const auto& [remote, bytes] : all) datagrams.push_back({kHttpsSocket, remote, pool_.copy_of(bytes)});
  send(datagrams);
}

// ---- all

void Server::watch(Connection& c) const {
  if (c.link) c.events = c.link->wants_write() ? EPOLLIN | EPOLLOUT : EPOLLIN;
  if (c.events == std::exchange(c.watched, c.events)) return;
  reactor_.modify(c.fd(), c.events);
}

void Server::end(Id id) {
  const auto it = connections_.find(id);
  const Connection& c = *it->second;
  reactor_.remove(c.fd());
  if (strangers_.erase(id) != 0) {
    shares_of_strangers_.remove(c.who);
  } else {
    shares_of_links_.remove(c.who);
    const auto named = by_remote_.find(c.remote);
    if (named != by_remote_.end() && named->second == id) by_remote_.erase(named);
  }
  connections_.erase(it);
}

// Once a second while there are connections.
void Server::sweep() {
  timer_ = reactor_.after(kSweep, [this] {
    timer_.reset();
    const Mono now = reactor_.now().mono;
    std::vector<Id> over;
    for (const auto& [id, c] : connections_) {
      if (c->deadline <= now) over.push_back(id);
    }
    for (const Id id : over) {
      Connection& c = *connections_.at(id);
      // Whose time is up before his request was over gets the page too.
      if (c.phase == Phase::request && judge(id, c, Said::all) && write_page(c)) {
        watch(c);
      } else {
        end(id);
      }
    }
    if (!connections_.empty()) sweep();
  });
}

}  // namespace macrovpn::shell::https
