#include "core/node/record_holder.h"

namespace macrovpn::node {

using discovery::DhtKind;
using routing::FrameType;

bool RecordHolder::may_ask(Mono now, const CallerKey& caller, DhtKind kind) {
  const bool put = kind == DhtKind::put;
  // The caller's own first: who is over his does not use up everybody's.
  return (put ? putters_ : getters_).allow(now, caller, put ? kPutsOfCaller : kGetsOfCaller) &&
         (put ? puts_ : gets_).take(now, put ? kPutsInAll : kGetsInAll);
}

void RecordHolder::on_request(Now now, PeerRef caller, const CallerKey& budget, FrameType type, Bytes body, Effects& fx) {
  const DhtKind kind = type == FrameType::dht_put ? DhtKind::put : DhtKind::get;
  if (!may_ask(now.mono, budget, kind)) {
    refused_++;
    return;
  }
  const auto said = store_.on_request(now.wall, kind, body, directory_.places(), directory_.set());
  if (said) answer(now, caller, kind, *said, fx);
}

std::optional<std::vector<uint8_t>> RecordHolder::ask_self(Now now, DhtKind kind, Bytes body) {
  return store_.on_request(now.wall, kind, body, directory_.places(), directory_.set());
}

void RecordHolder::answer(Now now, PeerRef caller, DhtKind kind, Bytes body, Effects& fx) {
  const auto frame = routing::write_frame(kind == DhtKind::put ? FrameType::dht_stored : FrameType::dht_found, body);
  if (frame.size() <= peers::Resources::kSmall) {
    s_.resources.carry_always(frame.size() + kCarriedHeaders);
  } else if (!s_.resources.carry(now.mono, caller, frame.size() + kCarriedHeaders)) {
    return;
  }
  if (shard_of(caller) == s_.config.place.shard) return s_.egress.frame(caller, frame);
  ShardNote note;
  note.kind = ShardNote::Kind::frame;
  note.from = s_.config.place.shard;
  note.session = caller;
  fx.to_shards.push_back({shard_of(caller), note, s_.pool.copy_of(frame)});
}

}  // namespace macrovpn::node
