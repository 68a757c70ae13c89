// The files of guards, of middles and of who is dead: what loads keeps the set's limits and is saved again as the same.
#include "core/discovery/liveness_map.h"
#include "core/peers/guard_set.h"
#include "core/peers/middle_set.h"

using namespace macrovpn;

namespace {

void guards(Bytes data, Wall now) {
  auto loaded = peers::GuardSet::load(data);
  if (!loaded.ok()) return;
  peers::GuardSet set = std::move(loaded).value();
  MV_ASSERT(set.all().size() <= peers::GuardSet::kMaxSampled);
  const auto again = peers::GuardSet::load(set.save());
  MV_ASSERT(again.ok() && again->save() == set.save());
  for (uint8_t i = 0; i < 30; i++) static_cast<void>(set.add(PeerId{{1, i}}, now));
  MV_ASSERT(set.all().size() <= peers::GuardSet::kMaxSampled);
  MV_ASSERT(set.in_order(Mono(1s)).size() == set.all().size());
  set.drop_expired(now + peers::GuardSet::kLife * 2);
}

void middles(Bytes data, Wall now) {
  auto loaded = peers::MiddleSet::load(data);
  if (!loaded.ok()) return;
  peers::MiddleSet set = std::move(loaded).value();
  const auto again = peers::MiddleSet::load(set.save());
  MV_ASSERT(again.ok() && again->save() == set.save());
  SeededRng rng(1);
  set.drop_expired(now);
  for (uint8_t i = 0; i < 30; i++) set.add(PeerId{{1, i}}, now, rng);
  MV_ASSERT(set.ids().size() == peers::MiddleSet::kSize);
  set.drop_expired(now + peers::MiddleSet::kLongest);
  MV_ASSERT(set.ids().empty());
}

void liveness(Bytes data, Wall now) {
  auto loaded = discovery::LivenessMemory::load(data);
  if (!loaded.ok()) return;
  discovery::LivenessMemory memory = std::move(loaded).value();
  const auto saved = memory.save();
  // Those whom nobody accuses are not written again.
  MV_ASSERT(saved.size() <= data.size() && saved.size() <= discovery::LivenessMemory::kMaxSaved);
  const auto again = discovery::LivenessMemory::load(saved);
  MV_ASSERT(again.ok() && again->save() == saved && again->dead() == memory.dead());
  for (const discovery::ShortId id : memory.dead()) MV_ASSERT(memory.of(id) == discovery::Liveness::dead);
  memory.drop_old(now);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Wall now = wall_from_unix(1'790'000'000);
  guards({data, size}, now);
  middles({data, size}, now);
  liveness({data, size}, now);
  return 0;
}
