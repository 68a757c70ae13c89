#include "shell/proxy/client_connection.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "shell/exit/socket_address.h"

namespace macrovpn::shell {
namespace {

constexpr size_t kReadAtOnce = 4096;
constexpr size_t kMaxAhead = 64 << 10;  // what a program may send before it has its answer

}  // namespace

ClientConnection::ClientConnection(ProxyContext& context, Fd socket, OnEnd on_end)
    : context_(context), socket_(std::move(socket)), on_end_(std::move(on_end)), since_(context.now()) {
  set_option(socket_.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  watched_ = EPOLLIN;
  context_.reactor().add(socket_.get(), watched_, [this](uint32_t events) { on_event(events); });
}

ClientConnection::~ClientConnection() {
  if (socket_) context_.reactor().remove(socket_.get());
  if (association_) context_.associations--;
  if (slot_) context_.groups.leave(context_.now(), *slot_);
}

bool ClientConnection::has_lapsed(Mono now) const {
  switch (state_) {
    case State::asking:
      return now - since_ >= context_.limits.asking_time;
    case State::closing:
      return now - since_ >= context_.limits.closing_time;
    case State::joined:
      return now - pair_->last_moved() >=
             (pair_->is_half_closed() ? context_.limits.half_closed : context_.limits.idle);
    default:
      return false;  // a dial has a deadline of its own; an association lasts as long as its connection
  }
}

void ClientConnection::reset() {
  if (pair_) return pair_->reset_both();
  if (!socket_) return;
  context_.reactor().remove(socket_.get());
  close_with_reset(socket_);
}

void ClientConnection::watch(uint32_t events) {
  if (events != watched_) context_.reactor().modify(socket_.get(), events);
  watched_ = events;
}

void ClientConnection::end() {
  const OnEnd f = std::move(on_end_);
  f();
}

// ---- reading

void ClientConnection::on_event(uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return end();
  // The program gave up before its answer.  After an HTTP request it may have closed its sending side alone.
  if (state_ == State::dialing) {
    if ((events & EPOLLRDHUP) != 0 && step_ != Step::http) return end();
    if ((events & EPOLLIN) == 0) return;
  }
  After after = read_some();
  while (after == After::again) after = step();
  if (after == After::gone) end();
}

ClientConnection::After ClientConnection::read_some() {
  uint8_t buffer[kReadAtOnce];
  const ssize_t n = recv(socket_.get(), buffer, sizeof buffer, 0);
  if (n < 0) return errno == EAGAIN || errno == EINTR ? After::wait : After::gone;
  if (n == 0 && state_ == State::dialing && step_ == Step::http) {
    watch(0);  // the pair will see it again
    return After::wait;
  }
  if (n == 0) return After::gone;
  if (state_ == State::closing || state_ == State::associated) return After::wait;  // nothing is expected
  in_.insert(in_.end(), buffer, buffer + n);
  if (state_ != State::dialing) return After::again;
  if (in_.size() >= kMaxAhead) watch(EPOLLRDHUP);
  return After::wait;
}

ClientConnection::After ClientConnection::step() {
  switch (step_) {
    case Step::greeting:
      return on_greeting();
    case Step::credentials:
      return on_credentials();
    case Step::socks_request:
      return on_socks_request();
    case Step::http:
      return on_http();
  }
  return After::gone;
}

ClientConnection::After ClientConnection::on_greeting() {
  if (in_.empty()) return After::wait;
  if (in_[0] >= 'A' && in_[0] <= 'Z') {
    step_ = Step::http;
    return After::again;
  }
  const SocksGreeting g = read_socks_greeting(in_);
  if (g.parse == Parse::more) return After::wait;
  const bool usable = g.parse == Parse::done && (g.open || g.password);
  if (!usable) context_.counters.malformed++;
  if (g.parse == Parse::bad) return After::gone;
  // A program that can say a user name is let say it.
  const uint8_t method = g.password ? 2 : g.open ? 0 : 0xff;
  const uint8_t answer[] = {5, method};
  if (!say(answer)) return After::gone;
  if (!usable) return close_after_answer();
  in_.erase(in_.begin(), in_.begin() + static_cast<ptrdiff_t>(g.used));
  step_ = g.password ? Step::credentials : Step::socks_request;
  return After::again;
}

ClientConnection::After ClientConnection::on_credentials() {
  const SocksCredentials c = read_socks_credentials(in_);
  if (c.parse == Parse::more) return After::wait;
  if (c.parse == Parse::bad) {
    context_.counters.malformed++;
    return After::gone;
  }
  user_ = c.user;
  in_.erase(in_.begin(), in_.begin() + static_cast<ptrdiff_t>(c.used));
  constexpr uint8_t kWelcome[] = {1, 0};
  if (!say(kWelcome)) return After::gone;
  step_ = Step::socks_request;
  return After::again;
}

ClientConnection::After ClientConnection::on_socks_request() {
  const SocksRequest r = read_socks_request(in_);
  if (r.parse == Parse::more) return After::wait;
  if (r.parse == Parse::bad) {
    context_.counters.malformed++;
    return r.refusal == SocksCode::succeeded ? After::gone : refuse_socks(r.refusal);
  }
  in_.erase(in_.begin(), in_.begin() + static_cast<ptrdiff_t>(r.used));
  if (!join_group()) return refuse(Outcome::too_many);
  if (r.command == SocksCommand::udp_associate) return associate();
  return dial(r.target);
}

ClientConnection::After ClientConnection::on_http() {
  http_ = read_http_request(in_);
  if (http_.parse == Parse::more) return After::wait;
  if (http_.parse == Parse::bad) {
    context_.counters.malformed++;
    return refuse_http(http_.refusal);
  }
  in_.erase(in_.begin(), in_.begin() + static_cast<ptrdiff_t>(http_.used));
  user_ = http_.user;
  if (!join_group()) return refuse(Outcome::too_many);
  return dial(http_.target);
}

bool ClientConnection::join_group() {
  slot_ = context_.groups.join(context_.now(), user_);
  user_.clear();
  return slot_.has_value();
}

// ---- answering

// Answers are short and the first that is sent, so that the kernel has room for them.
bool ClientConnection::say(Bytes bytes) {
  return send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

ClientConnection::After ClientConnection::refuse(Outcome o) {
  context_.counters.failed[static_cast<size_t>(o)]++;
  return step_ == Step::http ? refuse_http(http_answer_of(o)) : refuse_socks(socks_code_of(o));
}

ClientConnection::After ClientConnection::refuse_socks(SocksCode code) {
  return say(socks_reply(code, Endpoint{})) ? close_after_answer() : After::gone;
}

ClientConnection::After ClientConnection::refuse_http(const HttpAnswer& answer) {
  return say(as_bytes(http_refusal(answer))) ? close_after_answer() : After::gone;
}

// Closing at once, with bytes of the program unread, would reset the connection and could lose the answer.
ClientConnection::After ClientConnection::close_after_answer() {
  state_ = State::closing;
  since_ = context_.now();
  shutdown(socket_.get(), SHUT_WR);
  watch(EPOLLIN);
  in_ = {};
  return After::wait;
}

// ---- going out

ClientConnection::After ClientConnection::dial(const Target& target) {
  if (!context_.is_up()) return refuse(Outcome::no_daemon);
  state_ = State::dialing;
  watch(EPOLLIN | EPOLLRDHUP);
  dial_ = std::make_unique<Dial>(context_.outbound, *slot_, target,
                                 [this](Outcome o, Fd outside) { on_dialed(o, std::move(outside)); });
  return After::wait;
}

void ClientConnection::on_dialed(Outcome o, Fd outside) {
  dial_.reset();
  if (o != Outcome::connected) {
    if (refuse(o) == After::gone) end();
    return;
  }
  const bool forwards = step_ == Step::http && http_.kind == HttpRequest::Kind::forward;
  SplicePair::Start start;
  if (forwards) {
    if (in_.size() > http_.body) return end();  // a second request, which is not forwarded
    start.ahead.assign(http_.forwarded.begin(), http_.forwarded.end());
    start.most = http_.body - in_.size();
  } else if (!say(step_ == Step::http ? Bytes(as_bytes(http_established()))
                                      : Bytes(socks_reply(SocksCode::succeeded, Endpoint{})))) {
    return end();
  }
  start.ahead.insert(start.ahead.end(), in_.begin(), in_.end());
  in_ = {};
  http_ = {};
  context_.reactor().remove(socket_.get());
  context_.counters.connected++;
  state_ = State::joined;
  pair_ = std::make_unique<SplicePair>(
      context_.reactor(), context_.pipes, std::move(socket_), std::move(outside),
      [this](SplicePair::End how) {
        if (how == SplicePair::End::broken) context_.counters.broken++;
        end();
      },
      std::move(start));
}

ClientConnection::After ClientConnection::associate() {
  const auto ours = local_of(socket_.get()), peer = peer_of(socket_.get());
  if (!context_.is_up()) return refuse(Outcome::no_daemon);
  if (!ours || !peer || context_.associations >= context_.limits.associations)
    return refuse(Outcome::too_many);
  auto relay = context_.udp_socket(ours->address);
  if (!relay) return refuse(Outcome::failed);
  association_ = std::make_unique<UdpAssociation>(context_.outbound, context_.owner, context_.counters.udp,
                                                  *slot_, std::move(*relay), peer->address);
  context_.associations++;
  context_.counters.associations++;
  state_ = State::associated;
  in_ = {};
  return say(socks_reply(SocksCode::succeeded, association_->relay_endpoint())) ? After::wait : After::gone;
}

}  // namespace macrovpn::shell
