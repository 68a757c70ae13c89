// The file of what was seen of relays: what loads keeps its limits and is saved again as the same.
#include "core/peers/observations.h"

using namespace macrovpn;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto loaded = peers::Observations::load({data, size});
  if (!loaded.ok()) return 0;
  peers::Observations seen = std::move(loaded).value();
  MV_ASSERT(seen.size() <= peers::Observations::kMaxObserved);
  const auto again = peers::Observations::load(seen.save());
  MV_ASSERT(again.ok() && again->save() == seen.save());
  const Wall now = wall_from_unix(1'790'000'000);
  for (uint8_t i = 0; i < 3; i++) seen.worked(PeerId{{1, i}}, now);
  const auto s = seen.seen(PeerId{{1, 0}}, now);
  MV_ASSERT(s && s->reputation() >= 0 && s->reputation() <= 1);
  return 0;
}
