#include "base/bytes.h"

namespace macrovpn {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Bytes Reader::take(size_t n) {
  if (!ok_ || n > data_.size()) {
    ok_ = false;
    data_ = {};
    return {};
  }
  const Bytes out = data_.first(n);
  data_ = data_.subspan(n);
  return out;
}

std::string to_hex(Bytes b) {
  std::string out;
  out.reserve(b.size() * 2);
  for (const uint8_t x : b) {
    out += kHex[x >> 4];
    out += kHex[x & 15];
  }
  return out;
}

std::optional<std::vector<uint8_t>> from_hex(std::string_view s) {
  if (s.size() % 2 != 0) return std::nullopt;
  std::vector<uint8_t> out;
  out.reserve(s.size() / 2);
  for (size_t i = 0; i < s.size(); i += 2) {
    const int hi = hex_digit(s[i]);
    const int lo = hex_digit(s[i + 1]);
    if (hi < 0 || lo < 0) return std::nullopt;
    out.push_back(static_cast<uint8_t>(hi << 4 | lo));
  }
  return out;
}

std::string to_base64(Bytes b) {
  std::string out;
  for (size_t i = 0; i < b.size(); i += 3) {
    const size_t n = std::min<size_t>(3, b.size() - i);
    uint32_t v = uint32_t{b[i]} << 16;
    if (n > 1) v |= uint32_t{b[i + 1]} << 8;
    if (n > 2) v |= b[i + 2];
    for (size_t k = 0; k < 4; k++) out += k <= n ? kBase64[v >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::optional<std::vector<uint8_t>> from_base64(std::string_view s) {
  if (s.size() % 4 != 0) return std::nullopt;
  std::vector<uint8_t> out;
  for (size_t i = 0; i < s.size(); i += 4) {
    const bool last = i + 4 == s.size();
    const size_t pad = last ? (s[i + 3] == '=') + (s[i + 3] == '=' && s[i + 2] == '=') : 0;
    uint32_t v = 0;
    for (size_t k = 0; k < 4; k++) {
      const size_t at = k < 4 - pad ? kBase64.find(s[i + k]) : 0;
      if (at == std::string_view::npos) return std::nullopt;
      v = v << 6 | static_cast<uint32_t>(at);
    }
    if ((pad == 1 && (v & 0xff)) || (pad == 2 && (v & 0xffff))) return std::nullopt;  // not canonical
    for (size_t k = 0; k < 3 - pad; k++) out.push_back(static_cast<uint8_t>(v >> (16 - 8 * k)));
  }
  return out;
}

}  // namespace macrovpn
