#include "sim/net/link.h"

namespace macrovpn::sim {

const char* to_string(LinkDrop d) {
  switch (d) {
    case LinkDrop::none:
      return "carried";
    case LinkDrop::down:
      return "down";
    case LinkDrop::too_big:
      return "too big";
    case LinkDrop::black_hole:
      return "black hole";
    case LinkDrop::lost:
      return "lost";
    case LinkDrop::queue_full:
      return "queue full";
    case LinkDrop::kCount:
      break;
  }
  return "?";
}

Sent Link::offer(Mono now, size_t bytes) {
  counters_.offered++;
  counters_.offered_bytes += bytes;
  if (const LinkDrop why = refuses(now, bytes); why != LinkDrop::none) {
    counters_.dropped[static_cast<size_t>(why)]++;
    return {.drop = why};
  }
  counters_.carried++;
  counters_.carried_bytes += bytes;
  const Mono sent = send(now, bytes);
  Sent out{.copies = 1, .at = {arrival(sent)}};
  if (chance(model_.duplicated)) {
    counters_.duplicated++;
    out.copies = 2;
    out.at[1] = arrival(sent);
  }
  return out;
}

LinkDrop Link::refuses(Mono now, size_t bytes) {
  if (!model_.up) return LinkDrop::down;
  if (bytes > model_.mtu) return LinkDrop::too_big;
  if (bytes > model_.black_hole_above) return LinkDrop::black_hole;
  if (draw_loss(now)) return LinkDrop::lost;
  const Duration wait = queue_delay(now);
  if (wait > Duration(0) && bytes_in(model_.rate, wait) + bytes > model_.queue) return LinkDrop::queue_full;
  return LinkDrop::none;
}

bool Link::draw_loss(Mono now) {
  const LossModel& loss = model_.loss;
  if (now - drawn_at_ >= kBurstOver) bad_ = false;
  drawn_at_ = now;
  if (chance(bad_ ? loss.bad_to_good : loss.good_to_bad)) bad_ = !bad_;
  return chance(bad_ ? loss.loss_in_bad : loss.loss_in_good);
}

Mono Link::send(Mono now, size_t bytes) {
  const uint64_t rate = model_.rate.bytes_per_second;
  if (rate == 0) return now;
  const Duration wait = queue_delay(now);
  counters_.longest_queue = std::max(counters_.longest_queue, wait);
  free_at_ = now + wait + Duration(static_cast<int64_t>(bytes * 1'000'000'000 / rate));
  return free_at_;
}

Mono Link::arrival(Mono sent) {
  Duration takes = model_.latency;
  if (model_.jitter > Duration(0)) takes += random_->between(-model_.jitter, model_.jitter);
  const Mono in_turn = std::max(last_at_, sent + std::max(takes, Duration(0)));
  if (chance(model_.reordered)) {
    counters_.reordered++;
    return in_turn + random_->between(Duration(0), model_.reorder_by);
  }
  return last_at_ = in_turn;
}

}  // namespace macrovpn::sim
