#include "sim/engine/streams.h"

#include "sim/engine/trace_hash.h"

namespace macrovpn::sim {

uint64_t Streams::seed_of(std::string_view name, uint64_t number) const {
  TraceHash h;
  h.add(seed_);
  h.add(digest_of(as_bytes(name)));
  h.add(number);
  return h.value();
}

}  // namespace macrovpn::sim
