#include "core/routing/dns_filter.h"

#include <algorithm>
#include <charconv>

namespace macrovpn::routing {
namespace {

// RFC 6761, 6762, 7686, 8375, 9476 and the names that home routers and companies use.  Not .test: labs live
// there.
constexpr std::string_view kLocalNames[] = {
    "localhost", "local", "localdomain", "internal", "intranet", "private", "corp",
    "home",      "lan",   "home.arpa",   "onion",    "invalid",  "alt",     "ipv4only.arpa"};

constexpr uint16_t kSvcIpv4Hint = 4, kSvcIpv6Hint = 6;

template <class T>
std::optional<T> number(std::string_view s, int base, T max) {
  T v{};
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v, base);
  if (s.empty() || error != std::errc{} || end != s.data() + s.size() || v > max) return std::nullopt;
  return v;
}

std::optional<IpAddress> reverse_v4(const DnsName& n, size_t labels) {
  ByteArray<4> b{};
  if (labels > 4) return std::nullopt;
  for (size_t i = 0; i < labels; i++) {
    const auto v = number<unsigned>(n.label(labels - 1 - i), 10, 255);
    if (!v) return std::nullopt;
    b[i] = static_cast<uint8_t>(*v);
  }
  return IpAddress::v4(b);
}

std::optional<IpAddress> reverse_v6(const DnsName& n, size_t labels) {
  ByteArray<16> b{};
  if (labels > 32) return std::nullopt;
  for (size_t i = 0; i < labels; i++) {
    const auto v = number<unsigned>(n.label(labels - 1 - i), 16, 15);
    if (!v) return std::nullopt;
    b[i / 2] = static_cast<uint8_t>(b[i / 2] | *v << (i % 2 == 0 ? 4 : 0));
  }
  return IpAddress::v6(b);
}

using MayBeTold = std::function<bool(const IpAddress&)>;

bool hints_may_be_told(Bytes value, size_t size, const MayBeTold& may_be_told) {
  if (value.size() % size != 0) return false;
  for (; !value.empty(); value = value.subspan(size)) {
    const IpAddress a =
        size == 4 ? IpAddress::v4(load_be32(value.data())) : IpAddress::v6(*to_array<16>(value.first(16)));
    if (!may_be_told(a)) return false;
  }
  return true;
}

// RFC 9460 §2.2: priority, target name (uncompressed), then key, length, value.
bool service_may_be_told(Bytes data, const MayBeTold& may_be_told) {
  Reader r(data);
  r.be16();
  for (uint8_t n; (n = r.u8()) != 0 && r.ok();) r.take(n);
  while (r.ok() && !r.done()) {
    const uint16_t key = r.be16();
    const Bytes value = r.take(r.be16());
    if (key == kSvcIpv4Hint && !hints_may_be_told(value, 4, may_be_told)) return false;
    if (key == kSvcIpv6Hint && !hints_may_be_told(value, 16, may_be_told)) return false;
  }
  return r.ok();
}

bool record_may_be_told(const DnsRecord& r, const MayBeTold& may_be_told) {
  switch (r.type) {
    case kDnsA:
      return may_be_told(IpAddress::v4(load_be32(r.data.data())));
    case kDnsAaaa:
      return may_be_told(IpAddress::v6(*to_array<16>(r.data)));
    case kDnsSvcb:
    case kDnsHttps:
      return service_may_be_told(r.data, may_be_told);
    default:
      return true;
  }
}

}  // namespace

std::optional<IpAddress> reverse_address(const DnsName& n) {
  const size_t labels = n.labels();
  if (n.ends_in("in-addr.arpa")) return reverse_v4(n, labels - 2);
  if (n.ends_in("ip6.arpa")) return reverse_v6(n, labels - 2);
  return std::nullopt;
}

DnsAsk judge_question(const DnsQuestion& q, const MayBeTold& may_be_told) {
  // 128 to 255 are the meta types (RFC 6895 §3.1); 0 is reserved.
  const bool meta = q.type == 0 || q.type == kDnsOpt || (q.type >= 128 && q.type <= 255);
  if (q.klass != kDnsClassIn || meta) return DnsAsk::refuse;
  const bool reverse = q.name.ends_in("in-addr.arpa") || q.name.ends_in("ip6.arpa");
  if (reverse) {
    const auto a = reverse_address(q.name);
    return a && may_be_told(*a) ? DnsAsk::forward : DnsAsk::name_error;
  }
  // A top-level domain itself has useful records (NS, DS, SOA) but no address that anybody needs.
  if (q.name.labels() == 1 && (q.type == kDnsA || q.type == kDnsAaaa)) return DnsAsk::name_error;
  for (const std::string_view local : kLocalNames)
    if (q.name.ends_in(local)) return DnsAsk::name_error;
  return DnsAsk::forward;
}

size_t remove_private(DnsMessage& m, const MayBeTold& may_be_told) {
  size_t removed = 0;
  for (auto& section : m.records)
    removed +=
        std::erase_if(section, [&](const DnsRecord& r) { return !record_may_be_told(r, may_be_told); });
  return removed;
}

}  // namespace macrovpn::routing
