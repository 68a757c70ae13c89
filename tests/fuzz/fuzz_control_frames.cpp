// What comes out of a session: any bytes must be sorted and read without a fault, and what is read and
// written again must be read as the same.
#include "core/routing/frames.h"

using namespace macrovpn;
using namespace macrovpn::routing;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes payload(data, size);
  static_cast<void>(kind_of(payload));
  static_cast<void>(read_element(payload));
  FrameReader reader(payload);
  while (const auto f = reader.next()) {
    if (const auto e = read_extend(f->body)) {
      if (const auto element = read_element(e->element)) {
        const auto again = write_element(element->message, element->leg, element->early);
        MV_ASSERT(equal(again, e->element));
      }
    }
    if (const auto l = read_lease(f->body))
      MV_ASSERT(equal(Bytes(write_lease(*l)).subspan(kFrameHeader), f->body));
    if (const auto g = read_granted(f->body)) {
      MV_ASSERT(equal(Bytes(write_granted(*g)).subspan(kFrameHeader), f->body));
    }
    static_cast<void>(read_error(f->body));
    static_cast<void>(read_close(f->body));
    static_cast<void>(read_ping(f->body));
    static_cast<void>(read_bound(f->body));
    if (const auto d = read_dial(f->body)) MV_ASSERT(equal(Bytes(write_dial(*d)).subspan(kFrameHeader), f->body));
    if (const auto m = read_measure(f->body)) MV_ASSERT(equal(Bytes(write_measure(*m)).subspan(kFrameHeader), f->body));
    if (const auto m = read_measure_ok(f->body)) MV_ASSERT(equal(Bytes(write_measure_ok(*m)).subspan(kFrameHeader), f->body));
    if (const auto d = read_dialed(f->body)) MV_ASSERT(equal(Bytes(write_dialed(*d)).subspan(kFrameHeader), f->body));
  }
  return 0;
}
