// Bandwidths: what each relay of a copy of the directory counts as, by what relays say that they measured (core/discovery/measured.h); and who
// measures whom.  The weights of that draw are those of paths, of what relays claim, with their ages at the week's beginning: so all who hold the
// same copy draw the same.
#pragma once
#include "core/discovery/measured.h"

namespace macrovpn::node {

class Bandwidths {
 public:
  Bandwidths(const Network& network, Duration week) : network_(network), length_(week) {}
  // wanted: also where nobody has published a result yet.
  enum class Draw : uint8_t { for_results, wanted };
  // Of a copy's relays, without convictions, ascending by short id.  True: somebody counts as something else now.
  bool judge(Wall now, std::span<const discovery::EntryPtr> entries, Draw);
  const discovery::BandwidthBook& book() const { return book_; }
  const discovery::MeasurerDraw& draw() const { return draw_; }
  uint32_t week() const { return week_; }  // that was judged
  uint32_t week_at(Wall now) const { return discovery::measure_week_of(now, length_); }
  Wall begin_of(uint32_t week) const { return Wall(length_ * week); }

 private:
  const Network& network_;
  Duration length_;
  uint32_t week_ = 0;
  discovery::MeasurerDraw draw_;
  discovery::BandwidthBook book_;
};

}  // namespace macrovpn::node
