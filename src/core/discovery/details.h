// The optional fields of a descriptor's body: tags 12 to 18 (docs/protocol.md "Descriptor").  Each value has one
// encoding only, and what is the default is not written, so that the same statement is always the same bytes.
#pragma once
#include "base/result.h"
#include "model/relay_details.h"

namespace macrovpn::discovery {

enum class DetailTag : uint8_t { protocols = 12, introducers = 13, price = 14, exit_ports = 15, tls = 16, work = 17, measured = 18 };
inline constexpr uint8_t kFirstDetail = 12, kLastDetail = 18;

// Appends the fields, tags ascending.  Asserts what parse_detail() would refuse.
void encode_details(const RelayDetails&, std::vector<uint8_t>& out);
// One field of a tag from kFirstDetail to kLastDetail; false: malformed.
[[nodiscard]] bool parse_detail(DetailTag, Bytes value, RelayDetails& out);

// The value of `measured` alone, as it is also stored on disk.  nullopt: malformed.
std::vector<uint8_t> encode_measured(const MeasuredRelays&);
std::optional<MeasuredRelays> parse_measured(Bytes value);

// Lower-case letters, digits, hyphens and dots, as a host name has them; 1..63.
bool is_server_name(std::string_view);

}  // namespace macrovpn::discovery
