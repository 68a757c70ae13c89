// The proxy's reader of DNS answers: an exit may send anything.  Whatever it takes is of the family that was
// asked for, and no more than a few; a changed id is never an answer.
#include "shell/proxy/name_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace macrovpn;
  using namespace macrovpn::shell;
  // The start of an honest answer, so that the rest is reached.
  NameQuestion q{*routing::DnsName::parse("www.shop.test"), IpFamily::v4, 0x1234};
  for (const IpFamily f : {IpFamily::v4, IpFamily::v6}) {
    q.family = f;
    std::vector<uint8_t> message = encode_question(q);
    for (size_t i = 0; i < 10 && i < size; i++) message[2 + i] = data[i];
    message.resize(12 + q.name.wire().size() + 4);
    if (size > 10) message.insert(message.end(), data + 10, data + size);
    const auto answer = read_answer(message, q);
    if (!answer) continue;
    MV_ASSERT(answer->addresses.size() <= kMaxAddressesOfName);
    MV_ASSERT(answer->addresses.empty() == (answer->outcome != Outcome::connected));
    for (const IpAddress& a : answer->addresses) MV_ASSERT(a.family() == f);
    message[0] ^= 1;
    MV_ASSERT(!read_answer(message, q));
  }
  static_cast<void>(read_answer({data, size}, q));
  return 0;
}
