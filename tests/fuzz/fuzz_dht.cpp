// What relays and askers say about DHT records: messages, records, a holder that is told anything, a get that is answered anything.
#include <cstdint>
#include <cstdlib>

#include "core/discovery/dht_lookup.h"
#include "core/discovery/dht_store.h"

using namespace macrovpn;
using namespace macrovpn::discovery;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Now now{Mono(std::chrono::hours(1)), wall_from_unix(1'800'000'000)};
  Network network;
  network.id = {{1, 2, 3, 4, 5, 6, 7, 8}};
  const Bytes body(data + 1, size - 1);
  RelaySet relays(network);
  DhtPlaces places(network);
  RelayEntry self;
  self.id.bytes = {1};
  places.add(self);
  const auto kind = static_cast<DhtKind>(data[0] % 4);
  if (kind == DhtKind::put || kind == DhtKind::get) {
    DhtStore store(network, self.id);
    const auto answer = store.on_request(now.wall, kind, body, places, relays);
    if (answer && kind == DhtKind::get && answer->size() > body.size()) abort();  // an empty store has nothing
    if (answer && !parse_dht_answer(kind == DhtKind::put ? DhtKind::stored : DhtKind::found, *answer)) abort();
    store.check_invariants();
    return 0;
  }
  DhtOut out;
  if (kind == DhtKind::found) {
    const IdentityKey owner = crypto::ed25519_from_seed({}).pub;  // whose records the corpus has
    DhtGet get(network, DhtService::notes, owner, dht_name(network.id, "a"), 7);
    get.start(now, places, out);
    get.on_found(now, self.id, body, places, out);
    if (get.result() && (get.result()->slot.owner != owner || !is_timely(*get.result(), now.wall))) abort();
  } else {
    DhtPutOperation put({1, 2, 3}, {}, 7);
    put.start(now, places, out);
    put.on_stored(now, self.id, body, places, out);
    if (put.stored() > 1) abort();
  }
  return 0;
}
