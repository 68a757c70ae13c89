// Which relays answer: a relay says what it found, a client asks its sources.
#include <algorithm>

#include "core/node/directory_side.h"

namespace macrovpn::node {

using discovery::IdRange;
using discovery::SyncSession;

void DirectorySide::answer_map(Now now, SyncSession, Talk& talk, Bytes ask, Effects& fx) {
  const auto range = discovery::read_map_ask(ask);
  if (!range || prober_ == nullptr || ++talk.maps > kMapsOfOne || !maps_.take(now.mono, kMapsInAll)) return;
  say(now, talk, kMap, prober_->answer(now.mono, *range, set()), fx);
}

void DirectorySide::begin_mapping(Now now, std::vector<PeerRef> links) {
  if (mapping_) end_mapping(now);
  mapping_.emplace();
  mapping_->until = now.mono + kMapTime;
  links.resize(std::min(links.size(), discovery::kMapSources));
  for (size_t i = 0; i < links.size(); i++) {
    mapping_->sources[links[i]] = {i, {}};
    ask_map(now, links[i], discovery::kAllIds);
  }
}

void DirectorySide::ask_map(Now now, PeerRef link, const IdRange& range) {
  mapping_->sources.at(link).second.push_back(range);
  std::vector<uint8_t> body{kMapAsk | 0x80};
  const auto ask = discovery::write_map_ask(range);
  body.insert(body.end(), ask.begin(), ask.end());
  links_.send(now, link, routing::write_frame(routing::FrameType::directory, body));
}

void DirectorySide::on_map(Now now, PeerRef link, Bytes body) {
  const auto source = mapping_->sources.find(link);
  const auto answer = discovery::read_map_answer(body);
  if (source == mapping_->sources.end() || !answer) return;
  auto& [number, open] = source->second;
  const auto asked = std::find_if(open.begin(), open.end(), [&](const IdRange& r) { return r.low == answer->range.low; });
  if (asked == open.end()) return;
  const IdRange range = *asked;
  open.erase(asked);
  for (const IdRange& more : mapping_->map.on_answer(number, range, *answer, set().all())) ask_map(now, link, more);
  const auto is_done = [](const auto& s) { return s.second.second.empty(); };
  if (std::all_of(mapping_->sources.begin(), mapping_->sources.end(), is_done)) end_mapping(now);
}

void DirectorySide::mapping_link_gone(Now now, PeerRef link) {
  if (!mapping_ || mapping_->sources.erase(link) == 0) return;
  const auto is_done = [](const auto& s) { return s.second.second.empty(); };
  if (std::all_of(mapping_->sources.begin(), mapping_->sources.end(), is_done)) end_mapping(now);
}

void DirectorySide::end_mapping(Now now) {
  liveness_.drop_old(now.wall);
  liveness_.add(mapping_->map.round(), now.wall);
  liveness_changed_ = true;
  for (const auto& [link, source] : mapping_->sources) links_.close(link);
  mapping_.reset();
}

std::optional<std::vector<PeerId>> DirectorySide::take_dead() {
  if (!std::exchange(liveness_changed_, false)) return std::nullopt;
  std::vector<PeerId> out;
  for (const discovery::ShortId id : liveness_.dead()) {
    if (const auto e = set().find(id)) out.push_back(e->id);
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace macrovpn::node
