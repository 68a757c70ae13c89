// Byte views, loads and stores with a stated byte order, a bounded reader, hex and base64.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"

namespace macrovpn {

using Bytes = std::span<const uint8_t>;
using MutBytes = std::span<uint8_t>;
template <size_t N>
using ByteArray = std::array<uint8_t, N>;

inline uint16_t load_be16(const uint8_t* p) {
  return static_cast<uint16_t>(p[0] << 8 | p[1]);
}
inline uint32_t load_be32(const uint8_t* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
}
inline uint64_t load_be64(const uint8_t* p) {
  return uint64_t{load_be32(p)} << 32 | load_be32(p + 4);
}
inline uint16_t load_le16(const uint8_t* p) {
  return static_cast<uint16_t>(p[1] << 8 | p[0]);
}
inline uint32_t load_le24(const uint8_t* p) {
  return uint32_t{p[2]} << 16 | uint32_t{p[1]} << 8 | p[0];
}
inline uint32_t load_le32(const uint8_t* p) {
  return load_le24(p) | uint32_t{p[3]} << 24;
}
inline uint64_t load_le64(const uint8_t* p) {
  return uint64_t{load_le32(p + 4)} << 32 | load_le32(p);
}
inline void store_be16(uint8_t* p, uint16_t v) {
  p[0] = static_cast<uint8_t>(v >> 8);
  p[1] = static_cast<uint8_t>(v);
}
inline void store_be32(uint8_t* p, uint32_t v) {
  store_be16(p, static_cast<uint16_t>(v >> 16));
  store_be16(p + 2, static_cast<uint16_t>(v));
}
inline void store_be64(uint8_t* p, uint64_t v) {
  store_be32(p, static_cast<uint32_t>(v >> 32));
  store_be32(p + 4, static_cast<uint32_t>(v));
}
inline void store_le16(uint8_t* p, uint16_t v) {
  p[0] = static_cast<uint8_t>(v);
  p[1] = static_cast<uint8_t>(v >> 8);
}
inline void store_le24(uint8_t* p, uint32_t v) {
  store_le16(p, static_cast<uint16_t>(v));
  p[2] = static_cast<uint8_t>(v >> 16);
}
inline void store_le32(uint8_t* p, uint32_t v) {
  store_le16(p, static_cast<uint16_t>(v));
  store_le16(p + 2, static_cast<uint16_t>(v >> 16));
}
inline void store_le64(uint8_t* p, uint64_t v) {
  store_le32(p, static_cast<uint32_t>(v));
  store_le32(p + 4, static_cast<uint32_t>(v >> 32));
}

inline Bytes as_bytes(std::string_view s) {
  return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
}
inline bool equal(Bytes a, Bytes b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

// Reads forward over bytes that somebody else wrote.  After the first short read every further read fails
// and yields zeros: check ok() once, at the end.
class Reader {
 public:
  explicit Reader(Bytes data) : data_(data) {}
  bool ok() const { return ok_; }
  bool done() const { return ok_ && data_.empty(); }
  size_t left() const { return data_.size(); }
  Bytes take(size_t n);
  Bytes rest() { return take(left()); }
  uint8_t u8() { return fixed<1>()[0]; }
  uint16_t be16() { return load_be16(fixed<2>().data()); }
  uint32_t be32() { return load_be32(fixed<4>().data()); }
  uint64_t be64() { return load_be64(fixed<8>().data()); }
  uint16_t le16() { return load_le16(fixed<2>().data()); }
  uint32_t le32() { return load_le32(fixed<4>().data()); }
  uint64_t le64() { return load_le64(fixed<8>().data()); }
  template <size_t N>
  ByteArray<N> fixed() {
    ByteArray<N> out{};
    const Bytes b = take(N);
    if (ok_) std::copy(b.begin(), b.end(), out.begin());
    return out;
  }

 private:
  Bytes data_;
  bool ok_ = true;
};

// Appends to a byte vector.
class Writer {
 public:
  explicit Writer(std::vector<uint8_t>& out) : out_(out) {}
  Writer& bytes(Bytes b) {
    out_.insert(out_.end(), b.begin(), b.end());
    return *this;
  }
  Writer& u8(uint8_t v) {
    out_.push_back(v);
    return *this;
  }
  Writer& be16(uint16_t v) {
    store_be16(grow(2), v);
    return *this;
  }
  Writer& be32(uint32_t v) {
    store_be32(grow(4), v);
    return *this;
  }
  Writer& be64(uint64_t v) {
    store_be64(grow(8), v);
    return *this;
  }
  Writer& le16(uint16_t v) {
    store_le16(grow(2), v);
    return *this;
  }
  Writer& le32(uint32_t v) {
    store_le32(grow(4), v);
    return *this;
  }
  Writer& le64(uint64_t v) {
    store_le64(grow(8), v);
    return *this;
  }
  Writer& zeros(size_t n) {
    out_.resize(out_.size() + n);
    return *this;
  }

 private:
  uint8_t* grow(size_t n) {
    out_.resize(out_.size() + n);
    return out_.data() + out_.size() - n;
  }
  std::vector<uint8_t>& out_;
};

std::string to_hex(Bytes);
std::optional<std::vector<uint8_t>> from_hex(std::string_view);
std::string to_base64(Bytes);  // RFC 4648 §4, with padding: the form in which WireGuard shows keys
std::optional<std::vector<uint8_t>> from_base64(std::string_view);

template <size_t N>
std::optional<ByteArray<N>> to_array(Bytes b) {
  if (b.size() != N) return std::nullopt;
  ByteArray<N> out;
  std::copy(b.begin(), b.end(), out.begin());
  return out;
}

}  // namespace macrovpn
