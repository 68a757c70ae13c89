// An inner packet has the inside address that every client has: four bytes that are looked for in every datagram, at any offset.
// By chance they come once in four thousand million places; that an IPv4 header with a right checksum is around them, never.
#include <cstring>

#include "core/routing/address_rewrite.h"
#include "sim/check/checker.h"

namespace macrovpn::sim {
namespace {

class Plaintext final : public Checker {
 public:
  const char* name() const override { return "plaintext"; }
  const char* promise() const override { return "no packet of a program is readable on any link of the overlay"; }
  std::string looked_at() const override { return std::to_string(datagrams_) + " datagrams on links"; }

  void leaves(World& w, const Leaving& d) override {
    if (d.made_up) return;
    datagrams_++;
    const Bytes inside = routing::InsideAddresses::get().client4.bytes();
    const uint8_t* const end = d.bytes.data() + d.bytes.size();
    for (const uint8_t* at = d.bytes.data(); at < end; at++) {
      at = static_cast<const uint8_t*>(memmem(at, static_cast<size_t>(end - at), inside.data(), inside.size()));
      if (at == nullptr) return;
      for (const ptrdiff_t offset : {12, 16}) {  // of the source, of the destination
        const uint8_t* const header = at - offset;
        if (header < d.bytes.data() || end - header < 20 || header[0] != 0x45) continue;
        if (routing::internet_checksum(Bytes(header, 20)) != 0) continue;
        return broken(w, d.from.name + " sent a datagram of " + std::to_string(d.bytes.size()) +
                          " bytes with an IPv4 packet of a program at byte " + std::to_string(header - d.bytes.data()),
                      {d.from.id});
      }
    }
  }

 private:
  uint64_t datagrams_ = 0;
};

}  // namespace

std::unique_ptr<Checker> make_plaintext_checker() { return std::make_unique<Plaintext>(); }

}  // namespace macrovpn::sim
