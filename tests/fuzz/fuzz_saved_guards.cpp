// The file of guards: what loads keeps the set's limits and is saved again as the same.
#include "core/peers/guard_set.h"

using namespace macrovpn;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto loaded = peers::GuardSet::load({data, size});
  if (!loaded.ok()) return 0;
  peers::GuardSet set = std::move(loaded).value();
  MV_ASSERT(set.all().size() <= peers::GuardSet::kMaxSampled);
  const auto again = peers::GuardSet::load(set.save());
  MV_ASSERT(again.ok() && again->save() == set.save());
  const Wall now = wall_from_unix(1'790'000'000);
  for (uint8_t i = 0; i < 30; i++) static_cast<void>(set.add(PeerId{{1, i}}, now));
  MV_ASSERT(set.all().size() <= peers::GuardSet::kMaxSampled);
  MV_ASSERT(set.in_order(Mono(1s)).size() == set.all().size());
  set.drop_expired(now + peers::GuardSet::kLife * 2);
  return 0;
}
