#include "core/node/node.h"

#include <algorithm>

namespace macrovpn::node {
namespace {

constexpr Duration kShieldedAfter = 30s;  // without a packet, a caller is no longer worth a socket
constexpr Duration kPrekeyRenewal = std::chrono::hours(24);
constexpr Duration kSweep = std::chrono::minutes(10);  // of what belongs to relays that have left

PeerId own_id(const NodeConfig& c) {
  return c.identity ? discovery::peer_id_of(c.identity->pub) : PeerId{};
}

}  // namespace

Node::Node(const NodeConfig& config, PacketPool& pool, Rng& rng)
    : config_(config),
      pool_(pool),
      rng_(rng),
      tunnels_(config.wireguard, config.network.id.bytes, config.place.shard, pool, rng, config.tunnels, config.commons.callers),
      masks_(config.network.id, config.wireguard, kMaxMaskedRelays, config.commons.numbers),
      egress_(tunnels_, masks_, pool, rng),
      resources_(config.relay ? config.relay->cap : Bandwidth{}, config.place.shard, config.commons.bank),
      links_(shared()),
      phones_(tunnels_) {
  if (config.directory && config.place.shard == ShardId{0}) live_ = std::make_unique<DirectorySide>(shared(), links_);
  if (config.client) client_ = std::make_unique<ClientSide>(shared());
  if (config.relay) {
    introductions_ = std::make_unique<IntroductionSide>(shared(), links_);
    relay_ = std::make_unique<RelaySide>(shared(), links_, *introductions_);
    exit_ = std::make_unique<ExitSide>(shared());
    stun_ = std::make_unique<StunSide>(shared());
    if (live_) {
      verify_ = std::make_unique<VerifySide>(shared(), links_, *live_);
      live_->set_gate(verify_.get());
      live_->set_prober(&verify_->prober());
      if (config_.directory->measuring == DirectoryConfig::Measuring::on && config_.identity)
        measure_ = std::make_unique<MeasureSide>(shared(), links_, *live_);
      records_kept_ = std::make_unique<RecordHolder>(shared(), *live_);
    }
    tunnels_.accept_ephemeral_peers(true);
  }
  if (live_) records_ = std::make_unique<RecordAsker>(shared(), links_, *live_, client_.get(), records_kept_.get());
}

Shared Node::shared() {
  return {config_, own_id(config_), pool_, rng_, directory_, tunnels_, masks_, egress_, resources_, service_};
}

void Node::start(Now now, Effects& fx) {
  if (looks_after_prekeys()) renew_prekey(now, fx);
  next_sweep_ = now.mono + kSweep;
  if (live_) live_->start(now, fx);
  finish(now, fx);
}

void Node::renew_prekey(Now now, Effects& fx) {
  next_prekey_ = now.mono + kPrekeyRenewal;
  fx.events.push_back(PrekeyChanged{tunnels_.renew_prekey(now)});
}

Result<void> Node::attach(Now now, TunId tun, Slots slots, Effects& fx) {
  if (!client_) return fail("this node only relays; start `macrovpn daemon` for programs");
  Result<void> r = client_->attach(now, tun, slots, fx);
  finish(now, fx);
  return r;
}

void Node::detach(Now now, TunId tun, Effects& fx) {
  if (client_) client_->detach(now, tun);
  finish(now, fx);
}

Result<void> Node::hop(Now now, TunId tun, Effects& fx) {
  if (!client_) return fail("this node only relays; there is no circuit of its own to change");
  Result<void> r = client_->hop(now, tun, fx);
  finish(now, fx);
  return r;
}

void Node::send_frame(Now now, PeerRef session, Bytes frame, Effects& fx) {
  egress_.frame(session, frame);
  finish(now, fx);
}

void Node::directory_changed(Now now, Effects& fx) {
  directory_.expire(now.wall);
  if (client_) client_->directory_changed(now, fx);
  finish(now, fx);
}

void Node::set_service(Now now, peers::Service service, Effects& fx) {
  if (!relay_ || service == service_) return;
  service_ = service;
  relay_->service_changed(now);
  if (service == peers::Service::closed) exit_->end_all(now, fx);
  finish(now, fx);
}

void Node::set_introducers(Now now, const std::vector<PeerId>& introducers, const GuessPart& part, Effects& fx) {
  if (introductions_) introductions_->set_introducers(now, introducers, part);
  finish(now, fx);
}

void Node::say_goodbye(Now now, Effects& fx) {
  if (client_) client_->end_all(now);
  finish(now, fx);
}

void Node::on_tun_packets(Now now, TunId tun, std::span<Packet> batch, Effects& fx) {
  if (client_) client_->on_tun_packets(now, tun, batch, fx);
  finish(now, fx);
}

void Node::on_exit_packets(Now now, std::span<Packet> batch, Effects& fx) {
  if (exit_) exit_->on_exit_packets(now, batch, fx);
  finish(now, fx);
}

Mono Node::next_deadline() const {
  Mono d = std::min({tunnels_.next_deadline(), next_prekey_, next_sweep_, links_.next_deadline()});
  if (live_) d = std::min(d, live_->next_deadline());
  if (verify_) d = std::min(d, verify_->next_deadline());
  if (measure_) d = std::min(d, measure_->next_deadline());
  if (records_) d = std::min(d, records_->next_deadline());
  if (client_) d = std::min(d, client_->next_deadline());
  if (relay_) d = std::min({d, relay_->next_deadline(), exit_->next_deadline(), introductions_->next_deadline()});
  return d;
}

void Node::on_deadline(Now now, Effects& fx) {
  if (now.mono >= tunnels_.next_deadline()) {
    encryption::Out out;
    tunnels_.on_deadline(now, out);
    take(out);
    on_tunnel_events(now, fx);
  }
  // Also when the calendar jumped and the old ones were erased for it.
  if (looks_after_prekeys() && (now.mono >= next_prekey_ || tunnels_.needs_prekey(now))) renew_prekey(now, fx);
  if (now.mono >= next_sweep_) sweep(now);
  if (relay_) {
    introductions_->on_deadline(now);
    relay_->on_deadline(now);
    exit_->on_deadline(now, fx);
  }
  if (client_ && now.mono >= client_->next_deadline()) client_->on_deadline(now, fx);
  links_.on_deadline(now);
  watch_directory(now, fx);
  if (verify_ && now.mono >= verify_->next_deadline()) verify_->on_deadline(now);
  if (measure_ && now.mono >= measure_->next_deadline()) measure_->on_deadline(now, fx);
  if (records_ && now.mono >= records_->next_deadline()) records_->on_deadline(now, fx);
  finish(now, fx);
}

void Node::sweep(Now now) {
  next_sweep_ = now.mono + kSweep;
  directory_.expire(now.wall);
  if (records_kept_) records_kept_->sweep(now.wall);
  const auto is_listed = [&](const PublicKey& key) { return directory_.is_relay_key(key); };
  masks_.sweep(is_listed);
  if (config_.commons.numbers && config_.place.shard == ShardId{0}) config_.commons.numbers->sweep(is_listed);
}

void Node::take(encryption::Out& out) {
  for (auto& m : out.messages) egress_.message(std::move(m));
  events_.insert(events_.end(), out.events.begin(), out.events.end());
  out.messages.clear();
  out.events.clear();
}

void Node::finish(Now now, Effects& fx) {
  give_to_phones(fx);
  on_link_events(now, fx);
  egress_.flush(now, fx, events_);
  after_flush();
  if (!events_.empty()) {
    on_tunnel_events(now, fx);
    on_link_events(now, fx);
    egress_.flush(now, fx, events_);
    after_flush();
  }
  if (introductions_) introductions_->take_socket_changes(fx.sockets);
  report_state(fx);
  if (is_idle()) rest();
}

void Node::after_flush() {
  links_.after_flush();
  if (client_) client_->after_flush();
}

bool Node::is_idle() const {
  return tunnels_.ephemeral_count() == 0 && (!client_ || client_->circuits().empty());
}

// The room of the largest batch so far, some dozens of KiB: a node with nothing to carry gives it back.
void Node::rest() {
  if (!opening_.empty() || !opened_.empty() || !events_.empty()) return;  // a batch is under way
  opening_ = decltype(opening_)();
  opened_ = decltype(opened_)();
  jobs_ = decltype(jobs_)();
  events_ = decltype(events_)();
  egress_.rest();
  tunnels_.rest();
}

std::vector<Endpoint> Node::callers_to_shield(Now now, size_t most) const {
  std::vector<Endpoint> out;
  if (!tunnels_.under_load(now.mono)) return out;
  for (const Route& r : tunnels_.proven_callers(now.mono - kShieldedAfter, most)) {
    if (r.socket == kListenSocket) out.push_back(r.endpoint);
  }
  return out;
}

controller::State Node::state() const {
  controller::Facts f;
  f.wanted = client_ != nullptr;
  f.circuit_ready = client_ && client_->protects();
  f.was_connected = was_connected_;
  return controller::state_of(f);
}

void Node::report_state(Effects& fx) {
  const controller::State s = state();
  was_connected_ |= s == controller::State::connected;
  if (s == reported_) return;
  reported_ = s;
  fx.events.push_back(StateChanged{s});
}

void Node::check_invariants() const {
  tunnels_.check_invariants();
  directory_.check_invariants();
  masks_.check_invariants();
  phones_.check_invariants();
  links_.check_invariants();
  if (live_) live_->check_invariants();
  if (verify_) verify_->check_invariants();
  if (measure_) measure_->check_invariants();
  if (records_) records_->check_invariants();
  if (records_kept_) records_kept_->check_invariants();
  if (client_) client_->check_invariants();
  if (relay_) relay_->check_invariants();
  if (exit_) exit_->check_invariants();
  if (introductions_) introductions_->check_invariants();
}

}  // namespace macrovpn::node
