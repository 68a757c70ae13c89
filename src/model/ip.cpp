#include "model/ip.h"

#include <algorithm>
#include <charconv>

namespace macrovpn {
namespace {

template <class T>
std::optional<T> parse_decimal(std::string_view s, T max) {
  if (s.empty() || (s.size() > 1 && s[0] == '0')) return std::nullopt;
  T v{};
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (error != std::errc{} || end != s.data() + s.size() || v > max) return std::nullopt;
  return v;
}

std::optional<ByteArray<4>> parse_v4(std::string_view s) {
  ByteArray<4> out{};
  for (size_t i = 0; i < 4; i++) {
    const size_t dot = s.find('.');
    if ((dot == std::string_view::npos) != (i == 3)) return std::nullopt;
    const auto octet = parse_decimal<unsigned>(s.substr(0, dot), 255);
    if (!octet) return std::nullopt;
    out[i] = static_cast<uint8_t>(*octet);
    if (i < 3) s.remove_prefix(dot + 1);
  }
  return out;
}

// The 16-bit groups of one side of "::", appended; the last may be a dotted quad.
bool parse_groups(std::string_view s, std::vector<uint16_t>& out) {
  if (s.empty()) return true;
  for (;;) {
    const size_t colon = s.find(':');
    const std::string_view group = s.substr(0, colon);
    if (colon == std::string_view::npos && group.find('.') != std::string_view::npos) {
      const auto quad = parse_v4(group);
      if (!quad) return false;
      out.push_back(load_be16(quad->data()));
      out.push_back(load_be16(quad->data() + 2));
      return true;
    }
    uint16_t v = 0;
    const auto [end, error] = std::from_chars(group.data(), group.data() + group.size(), v, 16);
    if (group.empty() || group.size() > 4 || error != std::errc{} || end != group.data() + group.size())
      return false;
    out.push_back(v);
    if (colon == std::string_view::npos) return true;
    s.remove_prefix(colon + 1);
  }
}

std::optional<ByteArray<16>> parse_v6(std::string_view s) {
  std::vector<uint16_t> head, tail;
  const size_t gap = s.find("::");
  if (gap == std::string_view::npos) {
    if (!parse_groups(s, head) || head.size() != 8) return std::nullopt;
  } else {
    if (!parse_groups(s.substr(0, gap), head) || !parse_groups(s.substr(gap + 2), tail)) return std::nullopt;
    if (head.size() + tail.size() > 7) return std::nullopt;
    head.resize(8 - tail.size());
    head.insert(head.end(), tail.begin(), tail.end());
  }
  ByteArray<16> out;
  for (size_t i = 0; i < 8; i++) store_be16(&out[2 * i], head[i]);
  return out;
}

std::string v6_text(const uint8_t* b) {
  size_t best = 8, best_length = 1;  // the longest run of two or more zero groups
  for (size_t i = 0; i < 8; i++) {
    size_t n = 0;
    while (i + n < 8 && load_be16(b + 2 * (i + n)) == 0) n++;
    if (n > best_length) best = i, best_length = n;
  }
  std::string out;
  for (size_t i = 0; i < 8; i++) {
    if (i == best) {
      out += "::";
      i += best_length - 1;
      continue;
    }
    if (!out.empty() && out.back() != ':') out += ':';
    char group[5];
    const auto [end, error] = std::to_chars(group, group + 5, load_be16(b + 2 * i), 16);
    out.append(group, end);
  }
  return out;
}

}  // namespace

IpAddress IpAddress::v4(uint32_t host_order) {
  IpAddress a;
  store_be32(a.bytes_.data(), host_order);
  return a;
}

std::optional<IpAddress> IpAddress::parse(std::string_view s) {
  if (s.find(':') == std::string_view::npos) {
    const auto b = parse_v4(s);
    return b ? std::optional(v4(*b)) : std::nullopt;
  }
  const auto b = parse_v6(s);
  return b ? std::optional(v6(*b)) : std::nullopt;
}

uint32_t IpAddress::v4_host_order() const {
  MV_ASSERT(is_v4());
  return load_be32(bytes_.data());
}
bool IpAddress::is_unspecified() const {
  return std::all_of(bytes_.begin(), bytes_.end(), [](uint8_t b) { return b == 0; });
}

std::string IpAddress::reveal() const {
  if (!is_v4()) return v6_text(bytes_.data());
  std::string out;
  for (size_t i = 0; i < 4; i++) out += (i ? "." : "") + std::to_string(bytes_[i]);
  return out;
}

IpPrefix IpPrefix::of(const IpAddress& a, unsigned length) {
  MV_ASSERT(length <= a.bits());
  ByteArray<16> b{};
  std::copy(a.bytes().begin(), a.bytes().end(), b.begin());
  for (unsigned i = 0; i < a.bits() / 8; i++) {
    const unsigned keep = length > 8 * i ? std::min(8u, length - 8 * i) : 0;
    b[i] = static_cast<uint8_t>(b[i] & (0xff00 >> keep));
  }
  const IpAddress base = a.is_v4() ? IpAddress::v4(ByteArray<4>{b[0], b[1], b[2], b[3]}) : IpAddress::v6(b);
  return {base, static_cast<uint8_t>(length)};
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view s) {
  const size_t slash = s.find('/');
  const auto address = IpAddress::parse(s.substr(0, slash));
  if (!address) return std::nullopt;
  if (slash == std::string_view::npos) return of(*address, address->bits());
  const auto length = parse_decimal<unsigned>(s.substr(slash + 1), address->bits());
  if (!length) return std::nullopt;
  return of(*address, *length);
}

bool IpPrefix::contains(const IpAddress& a) const {
  return a.family() == address.family() && of(a, length).address == address;
}
std::string IpPrefix::reveal() const {
  return address.reveal() + "/" + std::to_string(length);
}

std::optional<Endpoint> Endpoint::parse(std::string_view s) {
  const size_t colon = s.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = s.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  const auto port = parse_decimal<unsigned>(s.substr(colon + 1), 65535);
  if (!address || !port || *port == 0 || address->is_v4() == bracketed) return std::nullopt;
  return Endpoint{*address, static_cast<uint16_t>(*port)};
}

std::string Endpoint::reveal() const {
  const std::string host = address.is_v4() ? address.reveal() : "[" + address.reveal() + "]";
  return host + ":" + std::to_string(port);
}

}  // namespace macrovpn

size_t std::hash<macrovpn::IpAddress>::operator()(const macrovpn::IpAddress& a) const noexcept {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
  const macrovpn::Bytes b = a.bytes();
  if (a.is_v4()) return macrovpn::load_le32(b.data()) * kOdd;
  const uint64_t h = (macrovpn::load_le64(b.data()) * kOdd ^ macrovpn::load_le64(b.data() + 8)) * kOdd;
  return h ^ h >> 32;
}
size_t std::hash<macrovpn::Endpoint>::operator()(const macrovpn::Endpoint& e) const noexcept {
  return std::hash<macrovpn::IpAddress>{}(e.address) * 0x100000001b3 ^ e.port;
}
