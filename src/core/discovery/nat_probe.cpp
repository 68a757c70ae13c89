#include "core/discovery/nat_probe.h"

#include <algorithm>

namespace macrovpn::discovery {

using stun::From;

const char* name_of(NatMapping m) {
  switch (m) {
    case NatMapping::unknown: return "unknown";
    case NatMapping::none: return "no NAT";
    case NatMapping::endpoint_independent: return "endpoint independent";
    case NatMapping::endpoint_dependent: return "endpoint dependent";
  }
  return "";
}

const char* name_of(NatFiltering f) {
  switch (f) {
    case NatFiltering::unknown: return "unknown";
    case NatFiltering::endpoint_independent: return "endpoint independent";
    case NatFiltering::address_dependent: return "address dependent";
    case NatFiltering::address_and_port_dependent: return "address and port dependent";
  }
  return "";
}

const char* name_of(NatClass c) {
  switch (c) {
    case NatClass::unknown: return "unknown";
    case NatClass::silent: return "silent";
    case NatClass::open: return "open";
    case NatClass::mapped: return "mapped";
    case NatClass::cone: return "cone";
    case NatClass::hard: return "hard";
  }
  return "";
}

NatClass nat_class_of(NatMapping m, NatFiltering f) {
  if (m == NatMapping::endpoint_dependent) return NatClass::hard;
  if (m == NatMapping::unknown || f == NatFiltering::unknown) return NatClass::unknown;
  if (f != NatFiltering::endpoint_independent) return NatClass::cone;
  return m == NatMapping::none ? NatClass::open : NatClass::mapped;
}

NatProbe::NatProbe(std::vector<StunServer> servers, const Endpoint& local, Rng& rng)
    : servers_(std::move(servers)), local_(local), rng_(rng) {
  MV_ASSERT(!servers_.empty() && servers_.size() <= kMostServers);
}

void NatProbe::start(Mono now) {
  report_.asked = servers_.size();
  begin(now);
}

void NatProbe::begin(Mono now) {
  stage_ = Stage::first;
  asked_ = {};
  ask(now, kOfA, a(), {});
  ask(now, kPort, a(), {From::other_port, {}});
  if (servers_[a()].kind == StunServer::Kind::stun) {
    ask(now, kCall, a(), {From::other_address, {}});
  } else if (c() != a()) {
    ask(now, kCall, a(), {From::same, servers_[c()].relay});
  }
  // Whom we have spoken to, a NAT may let in: C is left in peace until it has called.
  if (b() < c()) ask(now, kOfB, b(), {});
}

void NatProbe::ask(Mono now, What what, size_t server, const stun::Question& question) {
  Asked& q = asked_[what];
  q.used = true;
  q.server = server;
  q.question = question;
  q.id = rng_.bytes<12>();
  q.called = question.answer_from == From::other_address;
  q.first = now;
  send(now, q);
}

void NatProbe::send(Mono now, Asked& q) {
  q.tries++;
  q.next = now + (q.tries == kTries ? kLastWait : kBetweenTries);
  out_.push_back({q.server, stun::write_request(q.id, q.question), q.question.call_back ? stun::kLeastCallBack : stun::kLeastRequest});
}

// An answer of A's other port may come from any port of its address; of C, from where C listens.
bool NatProbe::comes_from_where_it_should(What what, const Endpoint& from) const {
  const Asked& q = asked_[what];
  const Endpoint& server = servers_[q.server].endpoint;
  if (what == kPort) return from.address == server.address && from.port != server.port;
  if (what != kCall) return from == server;
  return q.question.call_back ? from == servers_[c()].endpoint : from.address != server.address;
}

void NatProbe::on_answer(Mono now, const Endpoint& from, const stun::Message& m) {
  if (stage_ == Stage::idle || done()) return;
  for (size_t i = 0; i < kQuestions; i++) {
    Asked& q = asked_[i];
    if (!q.used || q.id != m.id) continue;
    // A's own word to a call: whether it passed it on.  A stranger's server that speaks itself has not understood the question.
    if (i == kCall && from == servers_[q.server].endpoint) q.called = q.question.call_back && (q.called || m.called);
    if (q.answered || m.kind != stun::Kind::answer || !m.mapped || !comes_from_where_it_should(What{i}, from)) return;
    q.answered = true;
    q.next = kNever;
    q.took = now - q.first;
    q.seen = m.mapped;
  }
  go_on(now);
}

void NatProbe::on_deadline(Mono now) {
  for (Asked& q : asked_) {
    if (!q.used || q.answered || q.next > now) continue;
    if (q.tries < kTries) {
      send(now, q);
    } else {
      q.next = kNever;
    }
  }
  go_on(now);
}

Mono NatProbe::next_deadline() const {
  if (done()) return kNever;
  Mono next = kNever;
  for (const Asked& q : asked_) next = std::min(next, q.next);
  return next;
}

bool NatProbe::waits() const {
  return std::any_of(asked_.begin(), asked_.end(), [](const Asked& q) { return q.next != kNever; });
}

void NatProbe::go_on(Mono now) {
  if (waits() || done()) return;
  if (stage_ == Stage::first && !asked_[kOfA].answered && first_ + 1 < servers_.size()) {
    first_++;
    return begin(now);
  }
  if (stage_ == Stage::first && asked_[kOfA].answered && c() != a()) {
    stage_ = Stage::second;
    return ask(now, kOfC, c(), {});
  }
  conclude();
}

NatMapping NatProbe::judge_mapping() const {
  const Asked& of_a = asked_[kOfA];
  if (!of_a.answered) return NatMapping::unknown;
  if (*of_a.seen == local_) return NatMapping::none;
  NatMapping out = NatMapping::unknown;
  for (const What other : {kOfB, kOfC}) {
    if (!asked_[other].answered) continue;
    if (*asked_[other].seen != *of_a.seen) return NatMapping::endpoint_dependent;
    out = NatMapping::endpoint_independent;
  }
  return out;
}

NatFiltering NatProbe::judge_filtering() const {
  if (asked_[kCall].answered) return NatFiltering::endpoint_independent;
  const bool c_would_have_called = asked_[kCall].called && asked_[kOfC].answered;
  if (!asked_[kOfA].answered || !c_would_have_called) return NatFiltering::unknown;
  return asked_[kPort].answered ? NatFiltering::address_dependent : NatFiltering::address_and_port_dependent;
}

void NatProbe::conclude() {
  stage_ = Stage::done;
  report_.mapping = judge_mapping();
  report_.filtering = judge_filtering();
  report_.nat = nat_class_of(report_.mapping, report_.filtering);
  report_.outside = asked_[kOfA].seen;
  report_.round_trip = asked_[kOfA].took;
  for (const What w : {kOfA, kOfB, kOfC}) report_.answered += asked_[w].answered;
  if (report_.answered == 0) report_.nat = NatClass::silent;
}

}  // namespace macrovpn::discovery
