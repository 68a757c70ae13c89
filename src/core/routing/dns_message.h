// DNS messages (RFC 1035, EDNS RFC 6891), strictly: what a caching forwarder has to understand and no more.
//
// A name is held as its wire form without compression, and so are the names inside the data of the old types
// that may compress them (RFC 3597 §4); all other data is opaque.  So records can be filtered and encoded
// again freely.
#pragma once
#include <compare>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace macrovpn::routing {

enum DnsType : uint16_t {
  kDnsA = 1,
  kDnsNs = 2,
  kDnsCname = 5,
  kDnsSoa = 6,
  kDnsPtr = 12,
  kDnsMx = 15,
  kDnsTxt = 16,
  kDnsAaaa = 28,
  kDnsOpt = 41,
  kDnsSvcb = 64,
  kDnsHttps = 65,
  kDnsIxfr = 251,
  kDnsAxfr = 252,
  kDnsAny = 255
};
inline constexpr uint16_t kDnsClassIn = 1;

enum class DnsCode : uint8_t {
  no_error = 0,
  form_error = 1,
  server_failure = 2,
  name_error = 3,
  not_implemented = 4,
  refused = 5
};

inline constexpr size_t kMaxDnsRecords = 256;  // of a message; more is refused
inline constexpr size_t kDnsPlainUdp = 512;    // what a client without EDNS takes
inline constexpr size_t kDnsSafeUdp = 1232;    // what fits any path (DNS flag day 2020)

// Labels, each with its length in front, then a zero: 1 to 255 bytes.
class DnsName {
 public:
  DnsName() : wire_{0} {}
  static std::optional<DnsName> parse(std::string_view text);  // "example.org", with or without the last dot
  static std::optional<DnsName> from_wire(Bytes uncompressed);
  Bytes wire() const { return wire_; }
  size_t labels() const;
  std::string_view label(size_t i) const;       // from the left
  DnsName lowered() const;                      // comparisons ignore case: the form for keys
  bool ends_in(std::string_view suffix) const;  // whole labels: "local", "home.arpa"
  auto operator<=>(const DnsName&) const = default;

 private:
  explicit DnsName(std::vector<uint8_t> wire) : wire_(std::move(wire)) {}
  std::vector<uint8_t> wire_;
};

struct DnsQuestion {
  DnsName name;
  uint16_t type = 0;
  uint16_t klass = kDnsClassIn;
  auto operator<=>(const DnsQuestion&) const = default;
};

struct DnsRecord {
  DnsName name;
  uint16_t type = 0;
  uint16_t klass = kDnsClassIn;
  uint32_t ttl = 0;
  std::vector<uint8_t> data;
};

enum class DnsSection : uint8_t { answer, authority, additional };

struct DnsMessage {
  uint16_t id = 0;
  bool is_response = false, authoritative = false, truncated = false, recursion_desired = true,
       recursion_available = false;
  uint8_t opcode = 0;
  DnsCode code = DnsCode::no_error;
  std::optional<DnsQuestion> question;
  std::vector<DnsRecord> records[3];      // by DnsSection; without OPT
  std::optional<uint16_t> edns_udp_size;  // of an OPT record; none: no EDNS

  std::vector<DnsRecord>& section(DnsSection s) { return records[static_cast<size_t>(s)]; }
  const std::vector<DnsRecord>& section(DnsSection s) const { return records[static_cast<size_t>(s)]; }
};

enum class DnsDrop : uint8_t { truncated, bad_name, bad_counts, bad_record, trailing, kCount };

Result<DnsMessage, DnsDrop> parse_dns(Bytes message);
// Owner names are compressed.  What does not fit `limit` leaves without records and with the TC bit.
std::vector<uint8_t> encode_dns(const DnsMessage&, size_t limit);

}  // namespace macrovpn::routing
