// A source's answers about who is alive: any bytes are read or refused, questions end, and one source alone kills nobody.
#include "core/discovery/liveness_map.h"

using namespace macrovpn;
using namespace macrovpn::discovery;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<EntryPtr> all = [] {
    std::vector<EntryPtr> out;
    for (uint64_t i = 1; i <= 300; i++) {
      auto e = std::make_shared<RelayEntry>();
      e->short_id = {i << 50};
      out.push_back(e);
    }
    return out;
  }();
  const Bytes bytes(data, size);
  if (const auto r = read_map_ask(bytes)) MV_ASSERT(equal(write_map_ask(*r), bytes));
  const auto a = read_map_answer(bytes);
  if (!a) return 0;
  LivenessMap map;
  std::vector<IdRange> todo{kAllIds, a->range};
  for (size_t questions = 0; !todo.empty(); questions++) {
    MV_ASSERT(questions < 1'000);
    const IdRange asked = todo.back();
    todo.pop_back();
    MapAnswer said = *a;
    said.range = asked;
    for (const IdRange& r : map.on_answer(0, asked, said, all)) todo.push_back(r);
    static_cast<void>(map.on_answer(0, asked, *a, all));
  }
  LivenessMemory memory;
  for (int i = 0; i < 2; i++) memory.add(map.round(), wall_from_unix(1'790'000'000));
  MV_ASSERT(memory.dead().empty());
  return 0;
}
