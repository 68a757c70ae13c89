#include "app/home_keeper.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "shell/clock.h"
#include "shell/driver/descriptor_room.h"

namespace macrovpn::app {

using discovery::NatClass;

namespace {

// Relays that can be asked: in the open, of IPv4.
std::vector<RelayInfo> relays_to_ask(const discovery::Directory& directory, const PeerId& self, Wall now, Rng& rng) {
  std::vector<RelayInfo> out;
  for (const auto& [id, r] : directory.relays()) {
    if (id != self && r->introducers.empty() && r->expiry > now && shell::endpoint_in(*r, IpFamily::v4)) out.push_back(*r);
  }
  for (size_t i = out.size(); i > 1; i--) std::swap(out[i - 1], out[rng.below(i)]);
  if (out.size() > discovery::NatProbe::kMostServers) out.resize(discovery::NatProbe::kMostServers);
  return out;
}

bool same_network(const IpAddress& a, const IpAddress& b, const Network& n) {
  if (a.family() != b.family()) return false;
  return IpPrefix::of(a, a.is_v4() ? n.diversity_v4 : n.diversity_v6).contains(b);
}

}  // namespace

std::vector<PeerId> choose_introducers(const discovery::Directory& directory, const Network& network, const IpAddress& ours, Wall now, Rng& rng) {
  std::vector<const RelayInfo*> fit;
  for (const auto& [id, r] : directory.relays()) {
    if (r->flags.has(RelayFlag::introducer) && r->introducers.empty() && r->expiry > now) fit.push_back(r.get());
  }
  for (size_t i = fit.size(); i > 1; i--) std::swap(fit[i - 1], fit[rng.below(i)]);
  std::vector<PeerId> out;
  std::vector<IpAddress> taken{ours};
  for (const RelayInfo* r : fit) {
    const IpAddress& at = r->endpoints[0].address;
    const bool near = std::any_of(taken.begin(), taken.end(), [&](const IpAddress& t) { return same_network(t, at, network); });
    if (near || at.family() != ours.family() || out.size() == kMaxIntroducers) continue;
    out.push_back(r->id);
    taken.push_back(at);
  }
  return out;
}

node::GuessPart guess_part(NatClass nat) {
  if (nat == NatClass::cone) return {GuessSide::easy, 0};
  const size_t sockets = std::min(shell::descriptor_room(kDescriptorsForOthers), discovery::kGuessSockets);
  if (nat != NatClass::hard || sockets < discovery::kFewestGuessSockets) return {GuessSide::none, 0};
  return {GuessSide::hard, sockets};
}

HomeKeeper::~HomeKeeper() {
  if (next_tick_) reactor_.cancel(*next_tick_);
  if (asking_.joinable()) asking_.join();
}

void HomeKeeper::tick() {
  {
    const std::lock_guard held(lock_);
    if (outcome_) {
      asking_.join();
      if (outcome_->ok()) take(**outcome_);
      outcome_.reset();
    }
  }
  if (!asking_.joinable() && reactor_.now().mono >= look_at_) look();
  if (is_behind_nat()) watch();
  look_at_port();
  next_tick_ = reactor_.after(kTick, [this] { tick(); });
}

void HomeKeeper::look() {
  const Now now = reactor_.now();
  shell::OsRng rng;
  const PeerId self = discovery::peer_id_of(options_.keys.identity.pub);
  shell::NatQuestion question{options_.network.id, relays_to_ask(driver_.node().directory(), self, now.wall, rng), IpFamily::v4, {}};
  if (question.relays.size() < 2) return;  // nobody to ask yet
  look_at_ = now.mono + kProbeAgain;
  asking_ = std::thread([this, question] {
    shell::OsRng own;
    Outcome found = shell::probe_nat(question, own);
    const std::lock_guard held(lock_);
    outcome_ = std::move(found);
  });
}

void HomeKeeper::take(const discovery::NatReport& report) {
  if (!report.outside || report.nat == NatClass::unknown || report.nat == NatClass::silent) return;
  outside_ = report.outside->address;
  const bool same_place = endpoint_ && endpoint_->address == report.outside->address && report.nat == nat_;
  nat_ = report.nat;
  look_at_ = kNever;
  known_at_ = reactor_.now().mono;
  if (same_place && !is_behind_nat()) return;
  shell::OsRng rng;
  const Endpoint before = endpoint_.value_or(Endpoint{});
  endpoint_ = Endpoint{report.outside->address, options_.listen.front().port};
  const auto old = introducers_;
  introducers_.clear();
  if (is_behind_nat()) {
    introducers_ = choose_introducers(driver_.node().directory(), options_.network, endpoint_->address, reactor_.now().wall, rng);
    if (introducers_.empty()) {  // nobody yet
      endpoint_.reset();
      look_at_ = reactor_.now().mono + kProbeAgain;
      return;
    }
  }
  // Published first: an introducer takes nobody whose descriptor it does not have.
  if (before != *endpoint_ || old != introducers_) on_change_();
  driver_.set_introducers(introducers_, guess_part(nat_));
}

void HomeKeeper::watch() {
  const Mono now = reactor_.now().mono;
  if (driver_.node().introductions()->registered_at() > 0) known_at_ = now;
  if (now - known_at_ < kPatience) return;
  known_at_ = now;
  look_at_ = now;
}

void HomeKeeper::set_mapped_port(std::optional<uint16_t> port) {
  mapped_port_ = port;
  look_at_port();
}

void HomeKeeper::on_called(const node::OwnReach& found) {
  port_.on_called(reactor_.now().mono, found);
  look_at_port();
}

void HomeKeeper::look_at_port() {
  const Mono now = reactor_.now().mono;
  port_.set(now, outside_ && mapped_port_ ? std::optional(Endpoint{*outside_, *mapped_port_}) : std::nullopt);
  port_.on_tick(now);
  if (port_.endpoint() == open_at_) return;
  open_at_ = port_.endpoint();
  if (open_at_ || endpoint_) on_change_();
}

nlohmann::json HomeKeeper::json() const {
  return {{"nat", discovery::name_of(nat_)},
          {"published", endpoint().has_value()},
          {"introducers", introducers().size()},
          {"registered", driver_.node().introductions()->registered_at()}};
}

}  // namespace macrovpn::app
