// Secret<N>: key material.  Wipes itself, does not print, compares in constant time.
#pragma once
#include <algorithm>

#include "base/bytes.h"

namespace macrovpn {

void wipe(void* p, size_t n);  // not removed by the optimiser
bool equal_constant_time(Bytes a, Bytes b);

template <size_t N>
class Secret {
 public:
  Secret() = default;
  explicit Secret(const ByteArray<N>& b) : bytes_(b) {}
  explicit Secret(std::span<const uint8_t, N> b) { std::copy(b.begin(), b.end(), bytes_.begin()); }
  Secret(const Secret&) = default;
  Secret& operator=(const Secret&) = default;
  ~Secret() { wipe(bytes_.data(), N); }
  // The only way to the bytes: a reviewer can search for it.
  std::span<const uint8_t, N> reveal() const { return bytes_; }
  std::span<uint8_t, N> fill() { return bytes_; }
  bool is_zero() const {
    return std::all_of(bytes_.begin(), bytes_.end(), [](uint8_t b) { return b == 0; });
  }
  friend bool operator==(const Secret& a, const Secret& b) { return equal_constant_time(a.bytes_, b.bytes_); }

 private:
  ByteArray<N> bytes_{};
};

}  // namespace macrovpn
