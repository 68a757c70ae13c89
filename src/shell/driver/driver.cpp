#include "shell/driver/driver.h"

#include <algorithm>
#include <utility>

#include "shell/clock.h"

namespace macrovpn::shell {
namespace {
// Batches read from one descriptor per wake-up before the others get their turn.
constexpr int kRounds = 4;
constexpr Duration kShieldCheck = 500ms, kShieldKept = 10s;
}  // namespace

Driver::Driver(Reactor& reactor, const node::NodeConfig& config, PacketPool& pool, Rng& rng)
    : reactor_(reactor),
      pool_(pool),
      node_(config, pool, rng),
      shield_(reactor, [this](UdpSocket& s) { read_socket(kListenSocket, s); }) {
  if (node_.live_directory() == nullptr) return;
  // A client looks at the work of those that it uses, when it first does.
  const auto depth = config.relay ? discovery::CheckDepth::signatures_and_work : discovery::CheckDepth::signatures;
  verifier_ = std::make_unique<Verifier>(reactor, config.network, depth, [this](uint64_t check, const Verifier::Verdict& verdict) {
    node_.on_checked(reactor_.now(), check, verdict, effects_);
    carry_out();
  });
}

Driver::~Driver() {
  if (listening_rests_) reactor_.cancel(*listening_rests_);
  for (auto& [id, s] : sockets_) reactor_.remove(s.fd());
  for (auto& [id, d] : devices_) reactor_.remove(d.fd());
  reactor_.after_round({});
}

void Driver::add_socket(SocketId id, UdpSocket socket) {
  const int fd = socket.fd();
  sockets_.insert_or_assign(id, std::move(socket));
  reactor_.add(fd, EPOLLIN, [this, id](uint32_t) {
    UdpSocket& s = sockets_.at(id);
    if (id == kListenSocket && shield_.size() != 0) return read_listening(s);
    read_socket(id, s);
  });
}

void Driver::remove_socket(SocketId id) {
  const auto it = sockets_.find(id);
  if (it == sockets_.end()) return;
  if (id == kListenSocket && listening_rests_) reactor_.cancel(*std::exchange(listening_rests_, {}));
  reactor_.remove(it->second.fd());
  sockets_.erase(it);
}

void Driver::start() {
  reactor_.after_round([this] { flush(); });
  node_.start(reactor_.now(), effects_);
  reactor_.wake_at(reactor_.now().mono);
}

void Driver::read_socket(SocketId id, UdpSocket& s) {
  for (int i = 0; i < kRounds; i++) {
    incoming_.clear();
    const size_t n = s.receive(id, pool_, incoming_);
    if (look_at_incoming_ && id == kListenSocket && n != 0) look_at_incoming_(incoming_);
    if (!incoming_.empty()) node_.on_datagrams(reactor_.now(), incoming_, effects_);
    carry_out();
    if (n < UdpSocket::kBatch) break;
  }
  incoming_.clear();
}

// In a flood: then it rests for as long as that took, so that those who have sockets of their own get half of this thread, however
// slow or busy the computer.  What the kernel drops meanwhile costs nothing.
void Driver::read_listening(UdpSocket& s) {
  const Mono began = read_clocks().mono;
  read_socket(kListenSocket, s);
  const Mono ended = read_clocks().mono;
  reactor_.modify(s.fd(), 0);
  listening_rests_ = reactor_.at(ended + (ended - began), [this] {
    listening_rests_.reset();
    reactor_.modify(sockets_.at(kListenSocket).fd(), EPOLLIN);
  });
}

void Driver::read_device(TunId tun) {
  PacketDevice& d = devices_.at(tun);
  for (int i = 0; i < kRounds; i++) {
    packets_.clear();
    const auto status = d.read_packets(pool_, packets_, UdpSocket::kBatch);
    const size_t n = packets_.size();
    if (n != 0) node_.on_tun_packets(reactor_.now(), tun, packets_, effects_);
    packets_.clear();
    carry_out();
    if (status == PacketDevice::Status::gone) {
      reactor_.remove(d.fd());
      if (on_gone_) on_gone_(tun);
      return;
    }
    if (n < UdpSocket::kBatch) break;
  }
}

void Driver::on_exit_packets(std::span<Packet> packets) {
  node_.on_exit_packets(reactor_.now(), packets, effects_);
}

void Driver::on_datagrams(std::span<node::Datagram> datagrams) {
  node_.on_datagrams(reactor_.now(), datagrams, effects_);
  carry_out();
}

void Driver::send_by_udp(node::Datagram datagram) {
  const auto it = sockets_.find(datagram.socket);
  if (it != sockets_.end()) it->second.send(std::span(&datagram, 1));
}

void Driver::on_shard_messages(std::span<node::ShardMessage> messages) {
  node_.on_shard_messages(reactor_.now(), messages, effects_);
  carry_out();
}

Result<TunId> Driver::attach(PacketDevice device, node::Slots slots) {
  const TunId tun{next_tun_++};
  TRY_VOID(node_.attach(reactor_.now(), tun, slots, effects_));
  const int fd = device.fd();
  devices_.insert_or_assign(tun, std::move(device));
  reactor_.add(fd, EPOLLIN, [this, tun](uint32_t) { read_device(tun); });
  return tun;
}

void Driver::detach(TunId tun) {
  const auto it = devices_.find(tun);
  if (it == devices_.end()) return;
  reactor_.remove(it->second.fd());
  devices_.erase(it);
  node_.detach(reactor_.now(), tun, effects_);
}

const PacketDevice* Driver::device(TunId tun) const {
  const auto it = devices_.find(tun);
  return it == devices_.end() ? nullptr : &it->second;
}

UdpSocket::Offloads Driver::datagram_offloads() const {
  const auto it = sockets_.find(kListenSocket);
  return it == sockets_.end() ? UdpSocket::Offloads{} : it->second.offloads();
}

Result<void> Driver::hop(TunId tun) {
  return node_.hop(reactor_.now(), tun, effects_);
}

Result<TunId> Driver::add_phone(const node::Phone& phone) {
  return node_.add_phone(reactor_.now(), phone, effects_);
}

void Driver::remove_phone(TunId tun) {
  node_.remove_phone(reactor_.now(), tun, effects_);
}

discovery::Inserted Driver::publish(const discovery::EntryPtr& entry) {
  const auto done = node_.publish(reactor_.now(), entry, effects_);
  reactor_.wake_at(reactor_.now().mono);
  return done;
}

bool Driver::ask_about_us(const discovery::EntryPtr& own) {
  const bool asked = node_.ask_about_us(reactor_.now(), own, effects_);
  reactor_.wake_at(reactor_.now().mono);
  return asked;
}

void Driver::accept_directory() {
  node_.accept_directory(reactor_.now(), effects_);
  reactor_.wake_at(reactor_.now().mono);
}

void Driver::add_contacts(std::vector<Contact> contacts) {
  node_.add_contacts(reactor_.now(), std::move(contacts), effects_);
  reactor_.wake_at(reactor_.now().mono);
}

void Driver::follow_directory(const discovery::SetChanges& changes) {
  node_.follow_directory(reactor_.now(), changes, effects_);
  reactor_.wake_at(reactor_.now().mono);
}

Result<node::RecordTicket> Driver::put_record(const node::RecordPut& put) {
  auto ticket = node_.put_record(reactor_.now(), put, effects_);
  reactor_.wake_at(reactor_.now().mono);
  return ticket;
}

Result<node::RecordTicket> Driver::get_record(const node::RecordGet& get) {
  auto ticket = node_.get_record(reactor_.now(), get, effects_);
  reactor_.wake_at(reactor_.now().mono);
  return ticket;
}

void Driver::forget_question(node::RecordTicket ticket) {
  node_.forget_question(reactor_.now(), ticket, effects_);
  reactor_.wake_at(reactor_.now().mono);
}

void Driver::directory_changed() {
  node_.directory_changed(reactor_.now(), effects_);
}

void Driver::set_service(peers::Service service) {
  node_.set_service(reactor_.now(), service, effects_);
}

void Driver::set_introducers(const std::vector<PeerId>& introducers, const node::GuessPart& part) {
  node_.set_introducers(reactor_.now(), introducers, part, effects_);
  flush();
}

void Driver::say_goodbye() {
  on_event_ = {};
  node_.say_goodbye(reactor_.now(), effects_);
  flush();
}

void Driver::flush() {
  const Now now = reactor_.now();
  refresh_shield(now.mono);
  if (now.mono >= node_.next_deadline()) node_.on_deadline(now, effects_);
  carry_out();
  for (const SocketId id : std::exchange(closing_, {})) remove_socket(id);
  std::vector<node::NodeEvent> events;
  events.swap(effects_.events);
  for (const node::NodeEvent& e : events) {
    if (on_event_) on_event_(e);
  }
  reactor_.wake_at(node_.next_deadline());
}

// Packets and datagrams.  After each batch, not once a wake-up: the next hop works while we read more.
void Driver::carry_out() {
  for (const node::ExitLease& l : effects_.exit_leases) {
    if (exit_lease_) exit_lease_(l);
  }
  effects_.exit_leases.clear();
  if (!effects_.exit_packets.empty() && exit_inject_) exit_inject_(effects_.exit_packets);
  effects_.exit_packets.clear();
  if (!effects_.tun_packets.empty()) write_devices();
  if (!effects_.sockets.empty()) change_sockets();
  if (!effects_.datagrams.empty()) send_datagrams();
  if (!effects_.to_shards.empty() && to_shards_) to_shards_(effects_.to_shards);
  effects_.to_shards.clear();
  if (!effects_.checks.empty() && verifier_) verifier_->ask(std::exchange(effects_.checks, {}));
  if (!effects_.directory.come.empty() || !effects_.directory.gone.empty()) {
    const auto changes = std::exchange(effects_.directory, {});
    if (on_directory_) on_directory_(changes);
  }
}

void Driver::change_sockets() {
  for (const node::SocketChange& c : std::exchange(effects_.sockets, {})) {
    if (c.kind == node::SocketChange::Kind::close) {
      closing_.push_back(c.socket);
      continue;
    }
    std::erase(closing_, c.socket);
    auto made = make_socket_ ? make_socket_() : Result<UdpSocket>(fail("none are made here"));
    sockets_not_made_ += !made.ok();
    remove_socket(c.socket);
    if (made.ok()) add_socket(c.socket, std::move(*made));
  }
}

void Driver::write_devices() {
  for (auto& [tun, device] : devices_) {
    packets_.clear();
    for (node::TunPacket& p : effects_.tun_packets) {
      if (p.tun == tun) packets_.push_back(std::move(p.packet));
    }
    if (!packets_.empty()) device.write_packets(packets_);
  }
  packets_.clear();
  effects_.tun_packets.clear();
}

void Driver::send_datagrams() {
  auto& all = effects_.datagrams;
  if (look_at_outgoing_) look_at_outgoing_(all);
  if (all.empty()) return;
  const auto of_first = [&](const node::Datagram& d) { return d.socket == all.front().socket; };
  if (std::all_of(all.begin(), all.end(), of_first)) {  // as mostly: nothing to sort out
    send_by(all.front().socket, all);
  } else {
    for (auto first = all.begin(); first != all.end(); ++first) {
      if (!first->packet) continue;
      const SocketId id = first->socket;
      outgoing_.clear();
      for (auto d = first; d != all.end(); ++d) {
        if (d->socket == id && d->packet) outgoing_.push_back(std::move(*d));
      }
      send_by(id, outgoing_);
    }
    outgoing_.clear();
  }
  all.clear();
  for (auto& [id, socket] : sockets_) {
    if (socket.take_too_long()) node_.refused_as_too_long(reactor_.now());
  }
}

void Driver::send_by(SocketId id, std::vector<node::Datagram>& batch) {
  if (const auto it = sockets_.find(id); it != sockets_.end()) {
    it->second.send(batch);
  } else if (to_others_ && !node::is_way_socket(id)) {
    to_others_(batch);
  }
}

// Shields stay for a while when the flood is over, as it may come in waves.
void Driver::refresh_shield(Mono now) {
  if (now < next_shield_check_) return;
  next_shield_check_ = now + kShieldCheck;
  const auto listening = sockets_.find(kListenSocket);
  if (listening == sockets_.end()) return;
  const auto callers = node_.callers_to_shield(reactor_.now(), Shield::kMost);
  if (!callers.empty()) shielded_until_ = now + kShieldKept;
  if (!callers.empty() || (shield_.size() != 0 && now >= shielded_until_))
    shield_.protect(listening->second, callers);
}

}  // namespace macrovpn::shell
