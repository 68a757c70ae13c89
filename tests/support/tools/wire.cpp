#include "wire.h"

#include <algorithm>
#include <charconv>

namespace netlab {

std::optional<std::string> Wire::set(const std::string& word) {
  const auto equals = word.find('=');
  if (equals == std::string::npos) return "expected key=value, got '" + word + "'";
  const std::string key = word.substr(0, equals);
  std::uint64_t value = 0;
  const char* end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data() + equals + 1, end, value);
  if (error != std::errc{} || stop != end) return "expected a whole number in '" + word + "'";
  // An hour and a terabit are beyond any test, and keep the arithmetic far from overflow.
  if (value > 3'600'000'000) return "too large: '" + word + "'";
  const auto time = std::chrono::microseconds(value);
  if (key == "delay_us") {
    settings_.delay = time;
  } else if (key == "jitter_us") {
    settings_.jitter = time;
  } else if (key == "loss_ppm") {
    settings_.loss_ppm = static_cast<std::uint32_t>(std::min<std::uint64_t>(value, 1'000'000));
  } else if (key == "rate_kbit") {
    settings_.rate_kbit = value;
  } else if (key == "queue_us") {
    settings_.queue = time;
  } else {
    return "unknown setting '" + key + "'";
  }
  return std::nullopt;
}

bool Wire::draw_loss(bool to_a_group) {
  // Which frames are lost depends on the seed and the frame's number only. Multicast has a generator of its own: kernels send
  // membership reports at random times, which would shift the numbers of all other frames.
  auto& random = to_a_group ? group_loss_random_ : loss_random_;
  return random() % 1'000'000 < settings_.loss_ppm;
}

Nanoseconds Wire::draw_delay() {
  if (settings_.jitter.count() == 0) return settings_.delay;
  const auto width = static_cast<std::uint64_t>(2 * settings_.jitter.count() + 1);
  const auto shift = Nanoseconds(static_cast<std::int64_t>(jitter_random_() % width)) - settings_.jitter;
  return std::max(Nanoseconds(0), settings_.delay + shift);
}

void Wire::accept(std::span<const std::uint8_t> frame, Instant now) {
  const bool to_a_group = !frame.empty() && (frame[0] & 1U) != 0;
  if (draw_loss(to_a_group)) {
    ++counts_.lost;
    return;
  }
  Instant sent = now;
  if (settings_.rate_kbit != 0) {
    const Instant start = std::max(now, sender_free_at_);
    if (start - now > settings_.queue || bytes_in_flight_ + frame.size() > kMostBytesInFlight) {
      ++counts_.queue_full;
      return;
    }
    sent = start + Nanoseconds(static_cast<std::int64_t>(frame.size() * 8 * 1'000'000 / settings_.rate_kbit));
    sender_free_at_ = sent;
  } else if (bytes_in_flight_ + frame.size() > kMostBytesInFlight) {
    ++counts_.queue_full;
    return;
  }
  last_due_ = std::max(last_due_, sent + draw_delay());
  bytes_in_flight_ += frame.size();
  flight_.push_back({last_due_, {frame.begin(), frame.end()}});
}

std::optional<std::span<const std::uint8_t>> Wire::due(Instant now, std::size_t skip) const {
  if (skip >= flight_.size() || flight_[skip].due > now) return std::nullopt;
  return std::span(flight_[skip].frame);
}

void Wire::pop(std::size_t count) {
  for (; count > 0; --count) {
    ++counts_.frames;
    counts_.bytes += flight_.front().frame.size();
    bytes_in_flight_ -= flight_.front().frame.size();
    flight_.pop_front();
  }
}

std::optional<Instant> Wire::next_due() const {
  if (flight_.empty()) return std::nullopt;
  return flight_.front().due;
}

}  // namespace netlab
