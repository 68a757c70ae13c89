#include "shell/proxy/dial.h"

#include <linux/errqueue.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "shell/exit/socket_address.h"
#include "shell/message.h"

namespace macrovpn::shell {
namespace {

// The kernel keeps what ICMP said of a failed connect in the error queue: as an errno, a policy's refusal
// looks like an unreachable host.
IcmpReport read_icmp(int socket) {
  alignas(cmsghdr) char control[512];
  char data[64];
  iovec io{data, sizeof data};
  msghdr m = message_of(io, control);
  if (recvmsg(socket, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return {};
  for (cmsghdr* h = CMSG_FIRSTHDR(&m); h != nullptr; h = CMSG_NXTHDR(&m, h)) {
    if (!((h->cmsg_level == SOL_IP && h->cmsg_type == IP_RECVERR) ||
          (h->cmsg_level == SOL_IPV6 && h->cmsg_type == IPV6_RECVERR)))
      continue;
    sock_extended_err e;
    std::memcpy(&e, CMSG_DATA(h), sizeof e);
    return {e.ee_origin, e.ee_type, e.ee_code};
  }
  return {};
}

}  // namespace

Dial::Dial(const Outbound& outbound, GroupSlot slot, const Target& target, OnEnd on_end)
    : outbound_(outbound), slot_(slot), target_(target), on_end_(std::move(on_end)) {
  deadline_ = outbound_.reactor.after(kDialTimeout, [this] {
    deadline_.reset();
    end(std::max(worst_, Outcome::timed_out));
  });
  if (target_.address) side(target_.address->family()).waiting = {*target_.address};
  // Not from here: who wants the connection does not hold us yet.
  next_ = outbound_.reactor.after(Duration::zero(), [this] {
    next_.reset();
    target_.address ? try_next() : look_up();
  });
}

Dial::~Dial() {
  for (const Fd& a : attempts_) outbound_.reactor.remove(a.get());
  for (const auto& timer : {next_, deadline_})
    if (timer) outbound_.reactor.cancel(*timer);
}

void Dial::look_up() {
  const auto name = routing::DnsName::parse(target_.name);
  if (!name) return end(Outcome::no_such_name);
  for (const IpFamily f : {IpFamily::v6, IpFamily::v4})
    side(f).lookup = std::make_unique<NameLookup>(outbound_, slot_, *name, f,
                                                  [this, f](NameAnswer a) { on_names(f, std::move(a)); });
}

void Dial::on_names(IpFamily f, NameAnswer answer) {
  side(f).lookup.reset();
  side(f).waiting = std::move(answer.addresses);
  if (answer.outcome == Outcome::name_failed) name_ = Outcome::name_failed;
  if (answer.outcome == Outcome::timed_out && name_ != Outcome::name_failed) name_ = Outcome::timed_out;
  if (!attempts_.empty() && next_) return;  // its turn will come
  const bool v6_may_come = side(IpFamily::v6).lookup != nullptr && !may_begin_with_v4_;
  if (f == IpFamily::v6 || !v6_may_come) return try_next();
  if (!side(f).waiting.empty()) arm(kResolutionDelay);
}

std::optional<IpAddress> Dial::next_address() {
  for (int i = 0; i < 2; i++) {
    const IpFamily f = turn_;
    turn_ = f == IpFamily::v6 ? IpFamily::v4 : IpFamily::v6;
    auto& waiting = side(f).waiting;
    if (waiting.empty()) continue;
    const IpAddress a = waiting.front();
    waiting.erase(waiting.begin());
    return a;
  }
  return std::nullopt;
}

void Dial::try_next() {
  may_begin_with_v4_ = true;
  // Those that fail at once make room for the next.
  while (const auto address = next_address())
    if (start_attempt(*address)) return arm(kBetweenAttempts);
  if (!attempts_.empty() || side(IpFamily::v4).lookup || side(IpFamily::v6).lookup) return;
  end(worst_ == Outcome::connected ? name_ : worst_);
}

bool Dial::start_attempt(const IpAddress& address) {
  if (outbound_.is_forbidden(address)) {
    worst_ = std::max(worst_, Outcome::forbidden);
    return false;
  }
  Fd s = open_outbound(outbound_, slot_, address.family(), SOCK_STREAM);
  const SocketAddress to({address, target_.port});
  if (s) prepare_tcp(s.get());
  if (!s || (connect(s.get(), to.data(), to.size) != 0 && errno != EINPROGRESS)) {
    worst_ = std::max(worst_, outcome_of(errno, {}));
    return false;
  }
  outbound_.reactor.add(s.get(), EPOLLOUT, [this, fd = s.get()](uint32_t) { on_attempt(fd); });
  attempts_.push_back(std::move(s));
  return true;
}

void Dial::on_attempt(int fd) {
  const auto it =
      std::find_if(attempts_.begin(), attempts_.end(), [fd](const Fd& a) { return a.get() == fd; });
  Fd socket = std::move(*it);
  attempts_.erase(it);
  outbound_.reactor.remove(fd);
  const int error = pending_error(fd);
  if (error != 0) {
    worst_ = std::max(worst_, outcome_of(error, read_icmp(fd)));
    return try_next();
  }
  end(Outcome::connected, std::move(socket));
}

void Dial::arm(Duration after) {
  if (next_) outbound_.reactor.cancel(*next_);
  next_ = outbound_.reactor.after(after, [this] {
    next_.reset();
    try_next();
  });
}

void Dial::end(Outcome o, Fd socket) {
  const OnEnd f = std::move(on_end_);
  f(o, std::move(socket));
}

}  // namespace macrovpn::shell
