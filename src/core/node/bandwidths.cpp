#include "core/node/bandwidths.h"

#include "core/routing/weights.h"

namespace macrovpn::node {

bool Bandwidths::judge(Wall now, std::span<const discovery::EntryPtr> entries, Draw draw) {
  week_ = week_at(now);
  const bool has_results = discovery::has_results(entries);
  if (draw == Draw::for_results && !has_results) {
    draw_ = {};
    return std::exchange(book_, {}) != discovery::BandwidthBook{};
  }
  std::vector<const RelayInfo*> relays;
  relays.reserve(entries.size());
  for (const auto& e : entries) relays.push_back(&e->descriptor.relay);
  const auto weights = routing::weights_of(relays, network_, begin_of(week_));
  std::vector<discovery::WeighedRelay> weighed;
  weighed.reserve(entries.size());
  for (size_t i = 0; i < entries.size(); i++) weighed.push_back({entries[i], weights[i]});
  draw_ = discovery::MeasurerDraw(network_, std::move(weighed));
  auto judged = has_results ? discovery::judge_bandwidths(draw_, week_) : discovery::BandwidthBook{};
  if (judged == book_) return false;
  book_ = std::move(judged);
  return true;
}

}  // namespace macrovpn::node
