// The body of a descriptor without its signature, which a fuzzer cannot make: any bytes are refused or are the only encoding of
// what they say.
#include "core/discovery/body.h"
#include "core/discovery/details.h"

using namespace macrovpn;
using namespace macrovpn::discovery;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static_cast<void>(parse_body(Bytes(data, size)).ok());
  if (size < 1) return 0;
  RelayDetails details;
  const auto tag = static_cast<DetailTag>(kFirstDetail + data[0] % (kLastDetail - kFirstDetail + 1));
  const Bytes value(data + 1, std::min<size_t>(size - 1, 255));
  if (!parse_detail(tag, value, details)) return 0;
  std::vector<uint8_t> again;
  encode_details(details, again);
  MV_ASSERT(again.size() == value.size() + 2 && equal(Bytes(again).subspan(2), value));
  return 0;
}
