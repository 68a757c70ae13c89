// IP addresses, prefixes and UDP endpoints.  They hold what must not be logged, so they have no stream
// operator; reveal() is for what the user configured or asked to see.
#pragma once
#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace macrovpn {

enum class IpFamily : uint8_t { v4 = 4, v6 = 6 };

class IpAddress {
 public:
  IpAddress() = default;  // 0.0.0.0
  static IpAddress v4(const ByteArray<4>& b) {
    IpAddress a;
    std::memcpy(a.bytes_.data(), b.data(), 4);
    return a;
  }
  static IpAddress v4(uint32_t host_order);
  static IpAddress v6(const ByteArray<16>& b) {
    IpAddress a;
    a.family_ = IpFamily::v6;
    a.bytes_ = b;
    return a;
  }
  // Dotted quad without leading zeros, or RFC 4291 §2.2 text without zone.  Nothing else.
  static std::optional<IpAddress> parse(std::string_view);

  IpFamily family() const { return family_; }
  bool is_v4() const { return family_ == IpFamily::v4; }
  unsigned bits() const { return is_v4() ? 32 : 128; }
  Bytes bytes() const { return Bytes(bytes_).first(is_v4() ? 4 : 16); }  // network order
  uint32_t v4_host_order() const;                                        // only if is_v4()
  bool is_unspecified() const;
  std::string reveal() const;  // RFC 5952
  auto operator<=>(const IpAddress&) const = default;
  // Some of it for each packet: two words, not a loop over bytes.
  bool operator==(const IpAddress& o) const {
    return family_ == o.family_ && std::memcmp(bytes_.data(), o.bytes_.data(), sizeof bytes_) == 0;
  }

 private:
  IpFamily family_ = IpFamily::v4;
  ByteArray<16> bytes_{};
};

struct IpPrefix {
  IpAddress address;  // bits beyond length are zero
  uint8_t length = 0;
  static IpPrefix of(const IpAddress&, unsigned length);   // clears the host bits
  static std::optional<IpPrefix> parse(std::string_view);  // "192.0.2.0/24", or an address alone
  bool contains(const IpAddress&) const;
  std::string reveal() const;
  auto operator<=>(const IpPrefix&) const = default;
};

struct Endpoint {
  IpAddress address;
  uint16_t port = 0;
  static std::optional<Endpoint> parse(std::string_view);  // "192.0.2.1:51820" or "[2001:db8::1]:51820"
  std::string reveal() const;
  auto operator<=>(const Endpoint&) const = default;
};

}  // namespace macrovpn

template <>
struct std::hash<macrovpn::IpAddress> {
  size_t operator()(const macrovpn::IpAddress& a) const noexcept;
};
template <>
struct std::hash<macrovpn::Endpoint> {
  size_t operator()(const macrovpn::Endpoint& e) const noexcept;
};
