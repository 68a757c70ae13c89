#include "app/own_descriptor.h"

#include "app/newcomers.h"
#include "core/discovery/body.h"
#include "core/discovery/work.h"

namespace macrovpn::app {
namespace {

constexpr Duration kSayWorkEvery = std::chrono::seconds(30);

Bytes body_of(const discovery::SignedDescriptor& d) { return Bytes(d.bytes).subspan(2, load_le16(d.bytes.data())); }

}  // namespace

OwnDescriptor::OwnDescriptor(const DaemonOptions& options, shell::DirectoryStore* store, const shell::DescriptorFolder& folder, Rng& rng, Uses uses)
    : options_(options), store_(store), folder_(folder), rng_(rng), uses_(std::move(uses)), id_(discovery::peer_id_of(options.keys.identity.pub)), measure_week_(measure_week_of(options.settings, options.network)) {
  if (const auto bytes = folder_.read(id_)) {
    auto old = discovery::open_descriptor(*bytes, options_.network.id);
    if (old.ok() && old->relay.id == id_) current_ = std::move(*old);
    if (current_) measured_ = current_->details.measured;
  }
  last_signed_ = last_signed();
  if (store_) work_ = store_->own(id_).work;
}

Wall OwnDescriptor::last_signed() const {
  Wall last = last_signed_;
  if (store_) last = std::max(last, store_->own(id_).last_signed);
  if (current_) last = std::max({last, current_->relay.signed_at, current_->body_signed_at});
  return last;
}

void OwnDescriptor::set(Now now, const RelayInfo& info, const RelayDetails& details, Urgency urgency) {
  const bool new_prekey = !wanted_ || wanted_->info.prekey != info.prekey;
  const auto said = current_ ? current_->details.measured : std::nullopt;
  wanted_ = {info, details};
  wanted_->details.measured = said;
  wanted_->info.identity = options_.keys.identity.pub;
  wanted_->info.id = id_;
  if (!look_for_work(now)) return;
  urgent_ |= urgency == Urgency::at_once;
  if (body_changed()) due_ = std::min(due_, new_body_must_wait(now) ? body_at_ + soonest_body() : now.mono);
  // With the body as it is, where a new one must wait.
  if (new_prekey) due_ = now.mono;
  on_tick(now);
}

// Twice a week's day, at the soonest: as often as it signs anyway.
void OwnDescriptor::set_measured(Now now, const std::optional<MeasuredRelays>& measured) {
  measured_ = measured;
  if (current_) due_ = std::min(due_, now.mono + measure_week_ / 14);
}

void OwnDescriptor::on_tick(Now now) {
  if (!wanted_) return;
  const bool had_work = work_.has_value();
  if (!look_for_work(now)) return;
  if (!had_work && work_) due_ = now.mono;
  if (now.mono >= due_) publish(now);
}

// ---- work

bool OwnDescriptor::look_for_work(Now now) {
  if (!store_ || options_.network.pow_bits == 0) return true;
  if (work_ && Wall(discovery::kWorkEpoch * (work_->epoch + 1)) + discovery::kWorkOverlap <= now.wall) work_.reset();
  const uint16_t now_epoch = discovery::work_epoch_of(now.wall), coming = discovery::work_epoch_of(now.wall + kWorkAhead);
  if (search_ && search_->found()) {
    const WorkProof proof = *search_->found();
    uses_.say("the proof of work was found, after " + std::to_string(search_->tries()) + " tries");
    search_.reset();
    work_ = proof;
    due_ = now.mono;
    shell::OwnRecord own = store_->own(id_);
    own.work = work_;
    static_cast<void>(store_->put_own(id_, own));
  }
  if (!work_ || work_->epoch < coming) search(!work_ || work_->epoch < now_epoch ? now_epoch : coming);
  if (search_ && !work_ && now.mono - said_work_ >= kSayWorkEvery) {
    said_work_ = now.mono;
    uses_.say("searching for the proof of work that this network asks of relays once in 30 days: " + std::to_string(search_->tries()) +
              " tries of about " + std::to_string(uint64_t{1} << options_.network.pow_bits) + ", 50 a second");
  }
  wanted_->details.work = work_;
  return work_.has_value();
}

void OwnDescriptor::search(uint16_t epoch) {
  if (search_ && search_->task().epoch == epoch) return;
  search_.reset();
  search_.emplace(discovery::WorkTask{options_.network.id, options_.keys.identity.pub, epoch, options_.network.pow_bits}, rng_.u64());
}

// ---- signing

std::vector<uint8_t> OwnDescriptor::wanted_body() const {
  return discovery::encode_body(wanted_->info, options_.network.id, options_.claims.family, wanted_->details);
}

bool OwnDescriptor::body_changed() const { return !current_ || !equal(body_of(*current_), wanted_body()); }

bool OwnDescriptor::new_body_must_wait(Now now) const { return store_ && current_ && !urgent_ && now.mono < body_at_ + soonest_body(); }

Result<discovery::SignedDescriptor> OwnDescriptor::sign_body(Wall at) const {
  const auto bytes =
      discovery::sign_descriptor(wanted_->info, options_.network.id, options_.keys.identity, at, options_.claims.family, wanted_->details);
  return discovery::open_descriptor(bytes, options_.network.id);
}

Result<discovery::SignedDescriptor> OwnDescriptor::sign_renewal(Wall at) const {
  return discovery::with_renewal(*current_, discovery::sign_renewal(*current_, options_.keys.identity, at, wanted_->info.prekey));
}

Result<discovery::SignedDescriptor> OwnDescriptor::sign_trial(Now now, RelayInfo info) {
  const Wall at = discovery::next_signing_time(last_signed(), now.wall);
  if (!wanted_ || at > now.wall + discovery::kClockTolerance) return fail("nothing can be signed now");
  info.identity = options_.keys.identity.pub;
  info.id = id_;
  RelayDetails details;
  details.work = wanted_->details.work;
  note_signed(at);
  const auto bytes = discovery::sign_descriptor(info, options_.network.id, options_.keys.identity, at, options_.claims.family, details);
  return discovery::open_descriptor(bytes, options_.network.id);
}

// On disk before anybody hears of it.
void OwnDescriptor::note_signed(Wall at) {
  last_signed_ = at;
  if (!store_) return;
  shell::OwnRecord own = store_->own(id_);
  own.last_signed = at;
  static_cast<void>(store_->put_own(id_, own));  // said there, if it failed
}

void OwnDescriptor::publish(Now now) {
  wanted_->details.measured = measured_;
  const bool fresh = body_changed() && !new_body_must_wait(now);
  const Wall at = discovery::next_signing_time(last_signed(), now.wall);
  if (at > now.wall + discovery::kClockTolerance && !std::exchange(said_future_, true)) {
    uses_.say("this relay signed something in the future before, when its clock was ahead; others take its descriptor only once their clocks have "
              "reached that time");
  }
  auto signed_now = fresh ? sign_body(at) : sign_renewal(at);
  if (!signed_now.ok()) return uses_.say("the own descriptor cannot be signed: " + signed_now.error().message);
  if (fresh) body_at_ = now.mono, urgent_ = false;
  note_signed(at);
  current_ = std::move(*signed_now);
  due_ = now.mono + rng_.between(kRenewEvery - kRenewSpread, kRenewEvery + kRenewSpread);
  if (body_changed()) due_ = std::min(due_, body_at_ + soonest_body());
  if (const auto put = folder_.put_own(id_, current_->bytes); !put.ok())
    uses_.say("the own descriptor could not be published as a file: " + put.error().message);
  uses_.publish(*current_);
}

}  // namespace macrovpn::app
