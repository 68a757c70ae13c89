#include "core/node/measure_side.h"

#include <algorithm>

#include "core/discovery/details.h"
#include "core/node/relay_side.h"

namespace macrovpn::node {

using discovery::EntryPtr;
using discovery::MeasurerDraw;
using discovery::ShortId;
using routing::FrameType;
using Kind = routing::MeasureOkFrame::Kind;

namespace {

std::map<uint64_t, uint8_t> to_map(const std::vector<MeasuredRelay>& list) {
  std::map<uint64_t, uint8_t> out;
  for (const MeasuredRelay& m : list) out[m.target] = m.value;
  return out;
}

void append(std::vector<MeasuredRelay>& out, const std::map<uint64_t, uint8_t>& results, size_t most) {
  for (const auto& [target, value] : results) {
    if (out.size() < most) out.push_back({target, value});
  }
}

}  // namespace

MeasureSide::MeasureSide(Shared s, RelayLinks& links, DirectorySide& directory)
    : s_(s), links_(links), directory_(directory), week_length_(s.config.directory->measure_week) {}

Bandwidth MeasureSide::own_rate() const {
  const EntryPtr own = directory_.set().find(discovery::short_id_of(s_.self));
  if (!own || own->convicted()) return {};
  const Bandwidth claim = own->descriptor.relay.bandwidth, cap = s_.config.relay->cap;
  return std::min({claim, discovery::kMostMeasured, cap.bytes_per_second == 0 ? claim : cap});
}

bool MeasureSide::is_busy(Now now) const { return run_ || serving_ || s_.service != peers::Service::open || s_.tunnels.under_load(now.mono); }

// ---- what was measured

void MeasureSide::roll(Now now) {
  directory_.judge(now);
  const uint32_t week = directory_.bandwidths().week_at(now.wall);
  if (week == week_) return;
  if (week_ != 0 && week == week_ + 1) {
    changed_ = !now_.empty() || !before_.empty();
    before_ = std::exchange(now_, {});
    kept_.reset();
  } else {
    auto said = week_ == 0 ? discovery::parse_measured(s_.config.directory->saved_measured) : published();
    const bool came_back = kept_ && static_cast<uint16_t>(week - kept_->week) <= 1;
    if (said && !came_back) kept_ = std::move(said);
    now_.clear(), before_.clear();
    const auto ago = kept_ ? static_cast<uint16_t>(week - kept_->week) : uint16_t{9};
    if (ago == 0) now_ = to_map(kept_->now), before_ = to_map(kept_->before);
    if (ago == 1) before_ = to_map(kept_->now);
    if (ago <= 1) kept_.reset();
  }
  week_ = week;
  tasks_.clear();
  plan_at_ = now.mono;
}

std::optional<MeasuredRelays> MeasureSide::published() const {
  MeasuredRelays out;
  out.week = static_cast<uint16_t>(now_.empty() ? week_ - 1 : week_);
  append(out.now, now_.empty() ? before_ : now_, kMaxMeasured);
  if (out.now.empty()) return std::nullopt;
  if (!now_.empty()) append(out.before, before_, kMaxMeasured - out.now.size());
  return out;
}

void MeasureSide::record(uint64_t target, const std::optional<Bandwidth>& result) {
  now_[target] = discovery::encode_result(result);
  tasks_.erase(ShortId{target});
  changed_ = true;
}

// ---- measuring others

// Whoever is reached through others is not measured: what is sent would be its introducers' to carry.
void MeasureSide::plan(Now now) {
  plan_at_ = now.mono + week_length_ / 28;
  const EntryPtr own = directory_.set().find(discovery::short_id_of(s_.self));
  if (own_rate() < discovery::kLeastMeasured) return;
  const auto& draw = directory_.bandwidths().draw();
  std::vector<ShortId> drawn;
  for (const auto& r : draw.relays()) {
    const discovery::RelayEntry& e = *r.relay;
    if (now_.contains(e.short_id.value) || tasks_.contains(e.short_id) || !e.descriptor.details.introducers.empty()) continue;
    if (e.descriptor.relay.bandwidth < discovery::kLeastMeasured || !may_send_to(s_.config, e.descriptor.relay.endpoints.front().address)) continue;
    if (draw.is_drawn(*own, e, week_)) drawn.push_back(e.short_id);
  }
  const Duration left = std::max<Duration>(directory_.bandwidths().begin_of(week_) + week_length_ * 4 / 5 - now.wall, week_length_ / 20);
  for (size_t i = drawn.size(); i > 0 && tasks_.size() + now_.size() < kMaxMeasured; i--) {
    std::swap(drawn[i - 1], drawn[s_.rng.below(i)]);
    tasks_[drawn[i - 1]].at = now.mono + s_.rng.between(0s, left);
  }
}

void MeasureSide::begin(Now now) {
  const auto next = std::min_element(tasks_.begin(), tasks_.end(), [](const auto& a, const auto& b) { return a.second.at < b.second.at; });
  if (next == tasks_.end() || next->second.at > now.mono) return;
  const EntryPtr e = directory_.set().find(next->first);
  if (!e || e->convicted()) return void(tasks_.erase(next));
  const Duration soon = std::min<Duration>(week_length_ / 20, 15s);
  next->second.at = now.mono + s_.rng.between(soon, soon * 2);
  const Bandwidth rate = std::min(own_rate(), e->descriptor.relay.bandwidth);
  if (is_busy(now) || rate < discovery::kLeastMeasured) return;
  const auto link = links_.open(now, contact_of(e->descriptor.relay), LinkUse::measurement);
  if (!link) return;
  run_ = Run{.link = *link, .target = e, .until = now.mono + kLinkTimeout + kAnswerTime, .rate = rate};
}

void MeasureSide::on_link(Now now, const LinkEvent& e) {
  if (!run_ || e.link != run_->link) return;
  if (e.kind != LinkEvent::Kind::up) return finish(now, End::silent);
  const auto info = s_.tunnels.info(e.link);
  if (!info) return;
  const discovery::MeasureAsk ask{s_.config.network.id, run_->target->id, week_, run_->rate, info->handshake_hash};
  run_->phase = Run::Phase::asked;
  run_->until = now.mono + kAnswerTime;
  links_.send(now, e.link, routing::write_measure({discovery::short_id_of(s_.self).value, week16(), static_cast<uint32_t>(run_->rate.bytes_per_second),
                                                   discovery::sign_measure(*s_.config.identity, ask)}));
}

void MeasureSide::on_link_frame(Now now, PeerRef link, const routing::Frame& f) {
  if (!run_ || link != run_->link) return;
  if (f.type == FrameType::echo) {
    if (run_->measurer) run_->measurer->on_echo(now.mono, f.body);
    return;
  }
  const auto said = routing::read_measure_ok(f.body);
  if (!said) return;
  if (run_->phase == Run::Phase::asked && said->kind == Kind::no) return finish(now, End::refused);
  if (run_->phase == Run::Phase::asked && said->kind == Kind::later) return finish(now, End::later);
  if (run_->phase == Run::Phase::asked && said->kind == Kind::yes) {
    run_->phase = Run::Phase::measuring;
    run_->measurer.emplace(run_->rate, now.mono, s_.rng);
    run_->pace_at = now.mono;
    run_->until = now.mono + discovery::kMeasureFor + kBackgroundTime;
  } else if (run_->measurer && said->kind == Kind::over && !run_->has_background) {
    run_->has_background = true;
    run_->measurer->on_background(said->background);
  }
}

void MeasureSide::drive(Now now) {
  if (run_->measurer && run_->has_background && run_->measurer->is_over(now.mono)) return finish(now, End::measured);
  if (now.mono >= run_->until) return finish(now, run_->measurer ? End::measured : End::silent);
  if (!run_->measurer || now.mono < run_->pace_at) return;
  std::vector<std::vector<uint8_t>> samples;
  run_->measurer->on_deadline(now.mono, samples);
  for (const auto& sample : samples) {
    const auto frame = routing::write_frame(FrameType::sample, sample);
    s_.resources.carry_always(frame.size() + kCarriedHeaders);
    links_.send(now, run_->link, frame);
  }
  const Mono next = run_->measurer->next_deadline();
  run_->pace_at = std::max(next, now.mono + (samples.size() < discovery::BandwidthMeasurer::kAtOnce ? kPace : Duration(1ms)));
}

// Silence is the other's doing only if those who answered us are not the fewer.
bool MeasureSide::is_silence_theirs() const {
  const auto spoke = std::count_if(now_.begin(), now_.end(), [](const auto& r) { return r.second != discovery::kRefusedValue; });
  const auto silent = std::count_if(tasks_.begin(), tasks_.end(), [](const auto& t) { return t.second.silent >= 2; });
  return spoke >= silent;
}

void MeasureSide::finish(Now now, End how) {
  const Run run = std::move(*run_);
  run_.reset();
  links_.close(run.link);
  const auto it = tasks_.find(run.target->short_id);
  if (it == tasks_.end()) return;  // the week is over
  Task& task = it->second;
  if (how == End::measured) {
    counters_.measured++;
    return record(run.target->short_id.value, run.measurer->result());
  }
  task.at = now.mono + s_.rng.between(week_length_ / 80, week_length_ / 40);
  if (how == End::later) put_off(now, task);
  if (how != End::later) (how == End::refused ? task.refused : task.silent)++;
  const bool refuses = task.refused >= kRefusals || task.later >= kLaters, is_silent = task.silent >= kSilences && is_silence_theirs();
  if (!refuses && !is_silent) return;
  (refuses ? counters_.refused : counters_.silent)++;
  record(run.target->short_id.value, std::nullopt);
}

// Busy for ten seconds, mostly: soon again, and then ever later.
void MeasureSide::put_off(Now now, Task& task) {
  const Duration soon = std::min<Duration>(week_length_ / 20, 15s);
  const Duration wait = std::clamp<Duration>(soon * (1 << std::min(task.later, 12u)), soon, std::max<Duration>(week_length_ / 80, soon));
  task.later++;
  task.at = now.mono + s_.rng.between(wait, wait * 2);
}

// ---- being measured

void MeasureSide::on_request(Now now, const Caller& caller, const routing::Frame& f) {
  if (f.type == FrameType::sample) return on_sample(now, caller.session, f.body);
  on_measure(now, caller, f.body);
}

void MeasureSide::say(PeerRef caller, std::vector<uint8_t> frame) {
  if (shard_of(caller) == s_.config.place.shard) return s_.egress.frame(caller, frame);
  elsewhere_.emplace_back(caller, std::move(frame));
}

void MeasureSide::carry_out(Effects& fx) {
  for (const auto& [caller, frame] : std::exchange(elsewhere_, {})) {
    ShardNote note;
    note.kind = ShardNote::Kind::frame;
    note.from = s_.config.place.shard;
    note.session = caller;
    fx.to_shards.push_back({shard_of(caller), note, s_.pool.copy_of(frame)});
  }
}

namespace {
// From where the relay that it names is said to be: no flood of strangers has its questions put off, for too many of which it would be called one who refuses.
bool calls_from_home(const MeasureSide::Caller& caller, const discovery::RelayEntry& e) {
  const auto& at = e.descriptor.relay.endpoints;
  return std::any_of(at.begin(), at.end(), [&](const Endpoint& x) { return caller.budget == caller_key(x.address); });
}
}  // namespace

void MeasureSide::on_measure(Now now, const Caller& caller, Bytes body) {
  const auto said = routing::read_measure(body);
  if (!said) return;
  const auto answer = [&](Kind k) {
    (k == Kind::yes ? counters_.served : counters_.denied)++;
    say(caller.session, routing::write_measure_ok({k, 0}));
  };
  if (!callers_.allow(now.mono, caller.budget, kPerCaller)) return answer(Kind::later);
  roll(now);
  const auto& set = directory_.set();
  const EntryPtr own = set.find(discovery::short_id_of(s_.self)), by = set.find(ShortId{said->measurer});
  if (!own || own->convicted() || !by || by->convicted() || said->week != week16() ||
      !directory_.bandwidths().draw().is_drawn(*by, *own, week_, MeasurerDraw::Margin::copies_differ))
    return answer(Kind::no);
  if (!calls_from_home(caller, *by) && !all_.take(now.mono, kInAll)) return answer(Kind::later);
  const discovery::MeasureAsk ask{s_.config.network.id, s_.self, week_, {said->rate}, caller.handshake_hash};
  counters_.verified++;
  if (!discovery::verify_measure(by->descriptor.relay.identity, said->signature, ask)) return answer(Kind::no);
  if (is_busy(now)) return answer(Kind::later);
  using Answer = discovery::BandwidthTarget::Answer;
  const Answer a = target_.on_ask(now.mono, {by->id, week_, ask.rate}, week_, own->descriptor.relay.bandwidth);
  if (a == Answer::yes) serving_ = Serving{.caller = caller.session, .by = by->id, .over_at = now.mono + discovery::kMeasureFor, .carried_before = s_.resources.bytes()};
  answer(a == Answer::yes ? Kind::yes : a == Answer::later ? Kind::later : Kind::no);
}

void MeasureSide::on_sample(Now now, PeerRef caller, Bytes body) {
  if (!serving_ || caller != serving_->caller || body.size() != discovery::kSampleSize || serving_->said_over ||
      !target_.on_sample(now.mono, serving_->by, body.size()))
    return;
  const auto frame = routing::write_frame(FrameType::echo, body);
  const size_t size = frame.size() + kCarriedHeaders;
  if (!s_.resources.carry(now.mono, caller, size)) return;
  serving_->echoed += size;
  counters_.echoed++;
  say(caller, frame);
}

void MeasureSide::end_serving(Now now) {
  if (!serving_->said_over) {
    const uint64_t all = s_.resources.bytes() - serving_->carried_before;
    serving_->background = all - std::min(all, serving_->echoed);
  }
  say(serving_->caller, routing::write_measure_ok({Kind::over, serving_->background}));
  if (!std::exchange(serving_->said_over, true)) return void(serving_->over_at = now.mono + kOverAgain);
  serving_.reset();
  target_.stop();
}

void MeasureSide::caller_gone(PeerRef caller) {
  if (!serving_ || serving_->caller != caller) return;
  serving_.reset();
  target_.stop();
}

// ---- time

Mono MeasureSide::next_deadline() const {
  if (changed_ || !elsewhere_.empty()) return kLongAgo;
  Mono at = plan_at_;
  if (serving_) at = std::min(at, serving_->over_at);
  if (run_) return std::min({at, run_->until, run_->pace_at});
  for (const auto& [id, task] : tasks_) at = std::min(at, task.at);
  return at;
}

void MeasureSide::on_deadline(Now now, Effects& fx) {
  roll(now);
  if (serving_ && now.mono >= serving_->over_at) end_serving(now);
  if (now.mono >= plan_at_) plan(now);
  if (run_) {
    drive(now);
  } else {
    begin(now);
  }
  if (std::exchange(changed_, false)) fx.events.push_back(MeasuredChanged{published()});
}

void MeasureSide::check_invariants() const {
  MV_ASSERT(now_.size() <= kMaxMeasured && tasks_.size() <= kMaxMeasured && before_.size() <= kMaxMeasured);
  MV_ASSERT(!serving_ || !run_);
}

}  // namespace macrovpn::node
