// What a router, or somebody on the LAN, sends to whoever asks for a port: any bytes in any order leave the mapper in a state that makes
// sense, and it asks only so much.
#include "core/discovery/port_mapper.h"

using namespace macrovpn;
using namespace macrovpn::discovery;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  SeededRng rng(1);
  const Endpoint router{IpAddress::v4(0xc0a80101), port_control::kRouterPort};
  PortMapper mapper({router.address, IpAddress::v4(0xc0a80102), 51820}, rng);
  Mono now(1000s);
  mapper.start(now);
  Reader r(Bytes(data, size));
  while (r.left() > 0) {
    const uint8_t what = r.u8();
    size_t asked = 0;
    if (what < 200) {
      const Bytes message = r.take(std::min<size_t>(what, r.left()));
      std::vector<uint8_t> copy(message.begin(), message.end());
      // The nonce, which no outsider knows.
      const auto out = mapper.take_datagrams();
      if (copy.size() >= 36 && !out.empty() && out.back().size() == 60) std::copy_n(&out.back()[24], 12, &copy[24]);
      mapper.on_datagram(now, router, copy);
    } else if (what < 230) {
      now += std::chrono::seconds(what - 199);
      mapper.on_deadline(now);
    } else if (what < 240) {
      now = std::max(now, std::min(mapper.next_deadline(), now + std::chrono::hours(1)));
      mapper.on_deadline(now);
    } else {
      mapper.on_upnp(now, {static_cast<UpnpTold::What>(what % 3), 5, {}});
    }
    asked += mapper.take_datagrams().size() + (mapper.take_upnp() ? 1 : 0);
    MV_ASSERT(asked <= 4);
    MV_ASSERT(mapper.mapping().state != PortMapping::State::open || mapper.mapping().by != MappedBy::nobody);
    MV_ASSERT(mapper.mapping().state == PortMapping::State::off || mapper.next_deadline() != kNever);
  }
  return 0;
}
