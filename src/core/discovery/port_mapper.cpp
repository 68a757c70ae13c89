#include "core/discovery/port_mapper.h"

#include <algorithm>

namespace macrovpn::discovery {

namespace pc = port_control;
using State = PortMapping::State;

const char* name_of(MappedBy by) {
  switch (by) {
    case MappedBy::nobody:
      return "nobody";
    case MappedBy::pcp:
      return "PCP";
    case MappedBy::nat_pmp:
      return "NAT-PMP";
    case MappedBy::upnp:
      return "UPnP";
  }
  return "";
}

PortMapper::PortMapper(const Config& config, Rng& rng) : config_(config), rng_(rng) {}

void PortMapper::start(Mono now) {
  nonce_ = rng_.bytes<12>();
  mapping_.state = State::asking;
  mapping_.refused = false;
  by_ = MappedBy::pcp;
  tries_ = 0;
  ask(now);
}

pc::Wish PortMapper::wish(uint32_t lifetime) const {
  const uint16_t wanted = mapping_.outside_port != 0 ? mapping_.outside_port : config_.inside_port;
  return {nonce_, config_.inside_address, config_.inside_port, wanted, lifetime};
}

void PortMapper::ask(Mono now) {
  tries_++;
  asked_at_ = now;
  next_ = now + kFirstWait * (1 << (tries_ - 1));
  if (by_ == MappedBy::pcp) out_.push_back(pc::write_pcp_map(wish(kLease)));
  if (by_ == MappedBy::nat_pmp) {
    out_.push_back(pc::write_nat_pmp_address());
    out_.push_back(pc::write_nat_pmp_map(wish(kLease)));
  }
  if (by_ == MappedBy::upnp) {
    const pc::Wish w = wish(kLease);
    upnp_ = UpnpWish{UpnpWish::What::add, w.inside_port, w.wanted_port, w.lifetime};
    next_ = now + kUpnpWait;
  }
}

void PortMapper::next_way(Mono now) {
  tries_ = 0;
  // Who gave the mapping and is silent now: it may live for the rest of its lease, and he is asked again.
  if (mapping_.state == State::open && now < expires_) {
    next_ = now + std::max<Duration>((expires_ - now) / 2, kLeastRenewal);
    return;
  }
  mapping_.state = State::asking;
  by_ = by_ == MappedBy::pcp ? MappedBy::nat_pmp : by_ == MappedBy::nat_pmp ? MappedBy::upnp : MappedBy::nobody;
  if (by_ != MappedBy::nobody) return ask(now);
  mapping_.state = State::failed;
  mapping_.by = MappedBy::nobody;
  check_at_ = expires_ = kNever;
  next_ = now + kRetry;
}

void PortMapper::opened(Mono now, uint16_t outside_port, const std::optional<IpAddress>& outside, uint32_t lifetime) {
  if (mapping_.state == State::open) mapping_.renewed++;
  mapping_.state = State::open;
  mapping_.by = by_;
  mapping_.outside_port = outside_port;
  if (outside) mapping_.outside_address = outside;
  mapping_.lifetime = std::min(lifetime, kLease);
  mapping_.silent = 0;
  const Duration lease = std::chrono::seconds(mapping_.lifetime);
  tries_ = 0;
  expires_ = now + lease;
  next_ = now + std::max<Duration>(lease / 2, kLeastRenewal);
  check_at_ = now + config_.check;
}

void PortMapper::stop() {
  if (mapping_.state == State::open) {
    const pc::Wish w = wish(0);
    if (by_ == MappedBy::pcp) out_.push_back(pc::write_pcp_map(w));
    if (by_ == MappedBy::nat_pmp) out_.push_back(pc::write_nat_pmp_map(w));
    if (by_ == MappedBy::upnp) upnp_ = UpnpWish{UpnpWish::What::remove, w.inside_port, w.wanted_port, 0};
  }
  mapping_.state = State::off;
  next_ = check_at_ = kNever;
}

void PortMapper::lost(Mono now) {
  mapping_.restarts++;
  tries_ = 0;
  // Somebody on the LAN may announce what he likes, as often as he likes.
  if (now >= asked_at_ + kLeastRenewal) return ask(now);
  next_ = std::min(next_, asked_at_ + kLeastRenewal);
}

// RFC 6887 §8.5: the router's clock may run at another pace than ours, by a sixteenth and two seconds.
void PortMapper::on_epoch(Mono now, uint32_t epoch) {
  const auto before = std::exchange(epoch_, {{epoch, now}});
  if (!before || mapping_.state != State::open) return;
  const int64_t ours = std::chrono::duration_cast<std::chrono::seconds>(now - before->second).count();
  const int64_t theirs = int64_t{epoch} - int64_t{before->first};
  if (theirs < -1 || ours + 2 < theirs - theirs / 16 || theirs + 2 < ours - ours / 16) lost(now);
}

MappedBy PortMapper::way_of(pc::Protocol p) const {
  return p == pc::Protocol::pcp ? MappedBy::pcp : MappedBy::nat_pmp;
}

void PortMapper::on_datagram(Mono now, const Endpoint& from, Bytes bytes) {
  if (from != Endpoint{config_.router, pc::kRouterPort} || mapping_.state == State::off || mapping_.state == State::failed) return;
  const auto told = pc::read(bytes);
  if (!told) return;
  mapping_.silent = 0;
  // A router that only speaks NAT-PMP answers PCP so.
  const bool is_ours = way_of(told->protocol) == by_;
  if (!is_ours && !(by_ == MappedBy::pcp && told->what == Told::What::refusal && told->result == pc::kUnsupportedVersion)) return;
  switch (told->what) {
    case Told::What::refusal:
      // Of a version nobody knows what it was about.  Else only of the mapping that was asked for: PCP's says which.
      if (told->result != pc::kUnsupportedVersion && (!told->of_mapping || (by_ == MappedBy::pcp && told->nonce != nonce_))) return;
      if (told->result == pc::kUnsupportedVersion && mapping_.state != State::asking) return;
      if (mapping_.state == State::asking) mapping_.refused |= told->result != pc::kUnsupportedVersion;
      if (mapping_.state == State::asking || told->result != pc::kUnsupportedVersion) expires_ = std::min(expires_, now), next_way(now);
      return;
    case Told::What::announce:
      return on_epoch(now, told->epoch);
    case Told::What::address:
      if (!told->outside->is_unspecified()) mapping_.outside_address = told->outside;
      return on_epoch(now, told->epoch);
    case Told::What::mapping:
      break;
  }
  if (told->inside_port != config_.inside_port || (by_ == MappedBy::pcp && told->nonce != nonce_) || told->lifetime == 0) return;
  epoch_ = {{told->epoch, now}};
  opened(now, told->outside_port, told->outside, told->lifetime);
}

void PortMapper::on_upnp(Mono now, const UpnpTold& told) {
  if (by_ != MappedBy::upnp || mapping_.state == State::off || mapping_.state == State::failed) return;
  if (told.what == UpnpTold::What::added) return opened(now, told.outside_port, told.outside, kLease);
  mapping_.refused |= told.what == UpnpTold::What::refused;
  expires_ = std::min(expires_, now);  // whoever answered no longer has it
  next_way(now);
}

void PortMapper::on_deadline(Mono now) {
  if (check_at_ <= now) {
    check_at_ = now + config_.check;
    mapping_.silent += mapping_.state == State::open;
    if (by_ == MappedBy::pcp) out_.push_back(pc::write_pcp_announce(config_.inside_address));
    if (by_ == MappedBy::nat_pmp) out_.push_back(pc::write_nat_pmp_address());
    // No epoch there: the mapping is asked for again, which does nothing where it still stands.
    if (by_ == MappedBy::upnp && mapping_.state == State::open) ask(now);
  }
  if (next_ > now) return;
  if (mapping_.state == State::failed) return start(now);
  if (tries_ >= kTries || (by_ == MappedBy::upnp && tries_ != 0)) return next_way(now);
  ask(now);
}

}  // namespace macrovpn::discovery
