#include "shell/nat/port_keeper.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/discovery/port_control.h"
#include "shell/system/names.h"

namespace macrovpn::shell {

namespace pc = discovery::port_control;
using discovery::PortMapper;

PortKeeper::PortKeeper(Reactor& reactor, PacketPool& pool, Rng& rng, const Config& config, std::function<void()> on_change)
    : reactor_(reactor), pool_(pool), rng_(rng), config_(config), on_change_(std::move(on_change)), upnp_(reactor) {}

PortKeeper::~PortKeeper() {
  if (timer_) reactor_.cancel(*timer_);
  if (look_again_) reactor_.cancel(*look_again_);
  if (socket_) reactor_.remove(socket_->fd());
  if (announcements_) reactor_.remove(announcements_.get());
}

void PortKeeper::start() {
  hear_announcements();
  look();
}

// RFC 6886 §3.2.1, RFC 6887 §14.1.1.  Others on this computer may listen there too.
void PortKeeper::hear_announcements() {
  announcements_ = Fd(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(announcements_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(announcements_.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_port = htons(pc::kAnnouncePort);
  here.sin_addr.s_addr = htonl(0xe0000001);  // 224.0.0.1: every host is in that group
  if (bind(announcements_.get(), reinterpret_cast<sockaddr*>(&here), sizeof here) != 0) {
    announcements_ = Fd();  // then a restart is noticed at the next check
    return;
  }
  reactor_.add(announcements_.get(), EPOLLIN, [this](uint32_t) { read_announcements(); });
}

void PortKeeper::look() {
  const auto now_at = default_router();
  if (now_at && now_at != at_) begin(*now_at);
  look_again_ = reactor_.after(kLookAgain, [this] { look(); });
}

void PortKeeper::begin(const DefaultRouter& at) {
  if (socket_) reactor_.remove(socket_->fd());
  socket_.reset();
  auto socket = UdpSocket::open({IpAddress(), 0}, geteuid() == 0 ? system::kMark : 0);
  if (!socket) return;  // looked for again
  at_ = at;
  socket_ = std::move(socket).value();
  reactor_.add(socket_->fd(), EPOLLIN, [this](uint32_t) { read(*socket_); });
  mapper_ = std::make_unique<PortMapper>(PortMapper::Config{at.router, at.inside_address, config_.port, config_.check}, rng_);
  mapper_->start(reactor_.now().mono);
  carry_out();
}

void PortKeeper::read(UdpSocket& s) {
  std::vector<node::Datagram> batch;
  s.receive({}, pool_, batch);
  for (const node::Datagram& d : batch) mapper_->on_datagram(reactor_.now().mono, d.remote, d.packet.bytes());
  carry_out();
}

void PortKeeper::read_announcements() {
  uint8_t buffer[pc::kMaxMessage];
  sockaddr_in from{};
  socklen_t size = sizeof from;
  const ssize_t n = recvfrom(announcements_.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size);
  if (n <= 0 || !mapper_) return;
  const Endpoint e{IpAddress::v4(ntohl(from.sin_addr.s_addr)), ntohs(from.sin_port)};
  mapper_->on_datagram(reactor_.now().mono, e, Bytes(buffer, static_cast<size_t>(n)));
  carry_out();
}

void PortKeeper::carry_out() {
  std::vector<node::Datagram> out;
  for (const auto& m : mapper_->take_datagrams())
    out.push_back({SocketId{}, {mapper_->config().router, pc::kRouterPort}, pool_.copy_of(m), {}});
  if (!out.empty() && socket_) socket_->send(out);
  if (const auto wish = mapper_->take_upnp()) {
    upnp_.start(mapper_->config(), *wish, [this](const discovery::UpnpTold& told) {
      mapper_->on_upnp(reactor_.now().mono, told);
      carry_out();
    });
  }
  const discovery::PortMapping& m = mapper_->mapping();
  const bool falls_silent = is_silent() && !told_silent_;
  told_silent_ = is_silent();
  if (const std::pair now_is{m.state, m.outside_port}; now_is != told_ || falls_silent) {
    told_ = now_is;
    if (on_change_) on_change_();
  }
  arm();
}

void PortKeeper::arm() {
  if (timer_) reactor_.cancel(*std::exchange(timer_, {}));
  if (mapper_->next_deadline() == kNever) return;
  timer_ = reactor_.at(mapper_->next_deadline(), [this] {
    timer_.reset();
    mapper_->on_deadline(reactor_.now().mono);
    carry_out();
  });
}

void PortKeeper::stop() {
  on_change_ = {};
  if (look_again_) reactor_.cancel(*std::exchange(look_again_, {}));
  if (!mapper_) return;
  mapper_->stop();
  carry_out();
  upnp_.finish(4s);
}

}  // namespace macrovpn::shell
