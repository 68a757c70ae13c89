#include "core/node/stun_side.h"

#include "core/node/relay_side.h"

namespace macrovpn::node {

namespace stun = discovery::stun;

bool StunSide::on_datagram(Now now, Datagram& d) {
  if (d.socket != kListenSocket || s_.service == peers::Service::closed) return false;
  if (s_.config.relay->plain_stun) {
    if (const auto m = stun::read(d.packet.bytes(), stun::Extent::exact); m && m->kind == stun::Kind::request) {
      on_request(now, d, *m, kPlain);
      return true;
    }
  }
  if (!s_.masks.unmask_stun(d.packet.bytes())) return false;
  const auto m = stun::read(d.packet.bytes(), stun::Extent::shorter);
  if (m && m->kind == stun::Kind::request) {
    on_request(now, d, *m, kOwnMask);
  } else if (m && m->kind == stun::Kind::indication) {
    on_indication(now, d, *m);
  } else {
    counters_.refused++;
  }
  return true;
}

// Whose share first: who asks too much takes nothing of what all have together.
bool StunSide::may_answer(Now now, const CallerKey& caller, const encryption::Rate& rate) {
  if (callers_.allow(now.mono, caller, rate) && all_.take(now.mono, kInAll)) return true;
  counters_.too_many++;
  return false;
}

void StunSide::on_request(Now now, const Datagram& d, const Message& m, MaskId mask) {
  const size_t least = m.call_back ? stun::kLeastCallBack : stun::kLeastRequest;
  if (d.packet.size() < least) {
    counters_.too_small++;
    return;
  }
  if (m.answer_from == stun::From::other_address) {  // no relay has two for this
    counters_.refused++;
    return;
  }
  if (!may_answer(now, caller_key(d.remote.address), kPerCaller)) return;
  counters_.answered++;
  const bool told = m.call_back && mask != kPlain && call_back(now, d, m);
  const SocketId from = m.answer_from == stun::From::other_port ? kEgressSocket : kListenSocket;
  // With a call back, three datagrams share what one request has brought.
  const size_t most = m.call_back ? stun::kLargestAnswer : d.packet.size();
  send({from, d.remote, mask, d.local}, stun::write_answer(m.id, d.remote, told ? stun::Called::yes : stun::Called::no), most);
}

bool StunSide::call_back(Now now, const Datagram& d, const Message& m) {
  const RelayInfo* other = s_.directory.find(*m.call_back, now.wall);
  const bool is_us = other != nullptr && (other->id == s_.self || other->wireguard == s_.config.wireguard.pub);
  if (other == nullptr || is_us || !may_send_to(s_.config, d.remote.address)) {
    counters_.refused++;
    return false;
  }
  // One that the asker could be called from: of his family.
  const auto at = std::find_if(other->endpoints.begin(), other->endpoints.end(),
                               [&](const Endpoint& e) { return e.address.family() == d.remote.address.family(); });
  if (at == other->endpoints.end() || !may_send_to(s_.config, at->address)) {
    counters_.refused++;
    return false;
  }
  const auto pair = s_.masks.pair(other->wireguard);
  const auto called = s_.masks.called(other->wireguard);
  if (!pair || !called) return false;
  auto indication = stun::write_indication(m.id, d.remote, s_.self, s_.masks.next_number(*pair, now.wall));
  const auto written = stun::read(indication, stun::Extent::exact);
  stun::set_mac(indication, s_.masks.pair_keys(*pair).trailer_mac(stun::signed_part(indication, *written)));
  send({kEgressSocket, *at, *called}, indication, stun::kLargestIndication);
  return true;
}

bool StunSide::is_vouched(Now now, Bytes indication, const Message& m) {
  if (!m.vouch || !m.peer || indication.size() < m.size) return false;
  const RelayInfo* relay = s_.directory.find(m.vouch->relay, now.wall);
  if (relay == nullptr) return false;
  const auto pair = s_.masks.pair(relay->wireguard);
  return pair && s_.masks.pair_keys(*pair).verify_trailer(stun::signed_part(indication, m), m.vouch->mac) &&
         s_.masks.accept_number(*pair, m.vouch->number, now.wall);
}

void StunSide::on_indication(Now now, const Datagram& d, const Message& m) {
  if (!is_vouched(now, d.packet.bytes(), m) || !may_send_to(s_.config, m.peer->address)) {
    counters_.refused++;
    return;
  }
  // Both: the relay's budget, and that of the address to be called, whoever vouches for it.
  if (!may_answer(now, caller_key(m.vouch->relay), kPerRelay) ||
      !callers_.allow(now.mono, caller_key(m.peer->address), kPerCaller))
    return;
  counters_.called_back++;
  send({kListenSocket, *m.peer, kOwnMask}, stun::write_answer(m.id, *m.peer), stun::kLargestAnswer);
}

// Plain ones end where they end; under the mask a random size says less.
void StunSide::send(const To& to, Bytes message, size_t most) {
  Packet p = s_.pool.copy_of(message);
  if (to.mask != kPlain && most > p.size()) {
    const size_t total = p.size() + s_.rng.below(most - p.size() + 1);
    s_.rng.fill({p.push_back(total - p.size()), total - message.size()});
  }
  s_.resources.carry_always(p.size() + kCarriedHeaders);
  s_.egress.datagram(to.socket, to.endpoint, to.mask, std::move(p), to.local);
}

}  // namespace macrovpn::node
