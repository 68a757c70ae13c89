// Handshake datagrams: cutting stays inside the bytes, and unmasking a datagram that is none leaves it as it
// was.
#include "core/encryption/header_mask.h"

namespace macrovpn::encryption {
namespace {

bool inside(Bytes part, Bytes whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void check_parse(Bytes d) {
  const auto cut = parse_handshake_datagram(d);
  if (!cut) return;
  MV_ASSERT(d.size() <= kMaxHandshakeDatagram && is_message(cut->message));
  MV_ASSERT(inside(cut->message, d) && inside(cut->early, d) && inside(cut->signed_part, d));
  MV_ASSERT(cut->trailer.has_value() == !cut->signed_part.empty());
  MV_ASSERT(cut->type == MessageType::initiation || (cut->early.empty() && !cut->trailer));
}

void check_masks(Bytes d) {
  static const MaskKey key({1}, PublicKey{{2}});
  std::vector<uint8_t> copy(d.begin(), d.end());
  if (!key.unmask(copy)) {
    MV_ASSERT(equal(copy, d));
    if (copy.size() < 16) return;
    key.mask_handshake(copy);
    key.unmask_handshake(copy);
    MV_ASSERT(equal(copy, d));
  } else {
    key.mask(copy);
    MV_ASSERT(equal(copy, d));
  }
}

}  // namespace
}  // namespace macrovpn::encryption

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace macrovpn;
  encryption::check_parse({data, size});
  encryption::check_masks({data, size});
  return 0;
}
