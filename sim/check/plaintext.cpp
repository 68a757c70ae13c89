// An inner packet has one of the two inside addresses that every client has: four or sixteen bytes that are looked for in every
// datagram, at any offset.  The four come by chance once in four thousand million places; that an IPv4 header with a right checksum is
// around them, never.  The sixteen never come by chance.
#include <cstring>

#include "core/routing/address_rewrite.h"
#include "sim/check/checker.h"

namespace macrovpn::sim {
namespace {

constexpr ptrdiff_t kSource4 = 12, kDestination4 = 16, kHeader4 = 20;
constexpr ptrdiff_t kSource6 = 8, kDestination6 = 24, kHeader6 = 40;

class Plaintext final : public Checker {
 public:
  const char* name() const override { return "plaintext"; }
  const char* promise() const override { return "no packet of a program is readable on any link of the overlay"; }
  std::string looked_at() const override { return std::to_string(datagrams_) + " datagrams on links"; }

  void leaves(World& w, const Leaving& d) override {
    if (d.made_up) return;
    datagrams_++;
    const auto& inside = routing::InsideAddresses::get();
    look(w, d, inside.client4.bytes(), "IPv4", {kSource4, kDestination4}, [](Bytes rest) {
      return rest.size() >= kHeader4 && rest[0] == 0x45 && routing::internet_checksum(rest.first(kHeader4)) == 0;
    });
    look(w, d, inside.client6.bytes(), "IPv6", {kSource6, kDestination6},
         [](Bytes rest) { return rest.size() >= kHeader6 && rest[0] >> 4 == 6; });
  }

 private:
  // Each place where the address is; `offsets`: where a header has it.
  template <class IsHeader>
  void look(World& w, const Leaving& d, Bytes address, const char* version, std::initializer_list<ptrdiff_t> offsets, IsHeader is_header) {
    const uint8_t* const begin = d.bytes.data();
    const uint8_t* const end = begin + d.bytes.size();
    for (const uint8_t* at = begin; at < end; at++) {
      at = static_cast<const uint8_t*>(memmem(at, static_cast<size_t>(end - at), address.data(), address.size()));
      if (at == nullptr) return;
      for (const ptrdiff_t offset : offsets) {
        if (at - begin < offset) continue;
        const uint8_t* const header = at - offset;
        if (!is_header(Bytes(header, static_cast<size_t>(end - header)))) continue;
        return broken(w, d.from.name + " sent a datagram of " + std::to_string(d.bytes.size()) + " bytes with an " + version +
                          " packet of a program at byte " + std::to_string(header - begin),
                      {d.from.id});
      }
    }
  }

  uint64_t datagrams_ = 0;
};

}  // namespace

std::unique_ptr<Checker> make_plaintext_checker() { return std::make_unique<Plaintext>(); }

}  // namespace macrovpn::sim
