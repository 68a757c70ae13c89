// Frames about relays behind a NAT, and punches: what is read is written as it was.
#include "core/discovery/punch.h"
#include "core/routing/introduction_frames.h"

using namespace macrovpn;
using namespace macrovpn::routing;

namespace {
void same(const std::vector<uint8_t>& frame, Bytes body) { MV_ASSERT(equal(Bytes(frame).subspan(kFrameHeader), body)); }
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  if (size > 1400) return 0;
  if (const auto f = read_register(input)) same(write_register(*f), input);
  if (const auto f = read_registered(input)) same(write_registered(*f), input);
  if (const auto f = read_splice(input)) same(write_splice(*f), input);
  if (const auto f = read_connect(input)) same(write_connect(*f), input);
  if (const auto f = read_introduce(input)) same(write_introduce(*f), input);
  if (const auto m = discovery::read_punch(input)) MV_ASSERT(equal(discovery::write_punch(*m), input.first(discovery::kPunchSize)));
  return 0;
}
