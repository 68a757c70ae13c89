#include "sim/net/access.h"

namespace macrovpn::sim {
namespace {

struct Line {
  std::string_view name;
  Duration latency, jitter;
  uint64_t down, up;  // Mbit/s
  Duration queue;
  LossModel loss;
};

constexpr size_t kLines = static_cast<size_t>(Access::kCount);
constexpr std::array<Line, kLines> kTable{{
    {"datacentre", 200us, 50us, 1000, 1000, 50ms, LossModel::none()},
    {"fibre", 2ms, 300us, 300, 100, 60ms, LossModel::independent(10)},
    {"cable", 6ms, 2ms, 150, 15, 200ms, LossModel::independent(50)},
    {"mobile", 22ms, 9ms, 40, 10, 300ms, LossModel::bursts(500, 4)},
    {"satellite", 275ms, 10ms, 50, 5, 500ms, LossModel::bursts(2000, 6)},
}};

const Line& line(Access a) {
  MV_ASSERT(a < Access::kCount);
  return kTable[static_cast<size_t>(a)];
}

LinkModel link_of(const Line& l, uint64_t rate) {
  return {.latency = l.latency, .jitter = l.jitter, .rate = megabits(rate), .queue = bytes_in(megabits(rate), l.queue),
          .loss = l.loss, .mtu = 1500};
}

}  // namespace

std::string_view to_string(Access a) {
  return line(a).name;
}

std::optional<Access> access_named(std::string_view name) {
  for (size_t i = 0; i < kLines; i++)
    if (kTable[i].name == name) return static_cast<Access>(i);
  return std::nullopt;
}

LinkModel uplink(Access a) {
  return link_of(line(a), line(a).up);
}

LinkModel downlink(Access a) {
  return link_of(line(a), line(a).down);
}

}  // namespace macrovpn::sim
