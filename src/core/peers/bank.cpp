#include "core/peers/bank.h"

#include <algorithm>

namespace macrovpn::peers {

Bank::Answer Bank::draw(Mono now, const Ask& ask) {
  lent_ += ask.always;
  crowds_[ask.shard.value] = {ask.window, ask.circuits};
  Answer out{.full_at = full_at_};
  for (size_t i = 0; i < crowds_.size(); i++) {
    const bool recent = crowds_[i].window + 1 >= ask.window;
    if (i != ask.shard.value && recent) out.circuits += crowds_[i].circuits;
  }
  if (lent_ >= end_at_) return out;
  const Mono from = std::max(full_at_, now);
  for (const size_t bytes : {std::max(ask.wanted, ask.needed), ask.needed}) {
    const Mono after = from + cost_of(bytes);
    if (rate_ != 0 && after - now > ask.most) continue;
    full_at_ = out.full_at = after;
    lent_ += bytes;
    out.bytes = bytes;
    return out;
  }
  return out;
}

}  // namespace macrovpn::peers
