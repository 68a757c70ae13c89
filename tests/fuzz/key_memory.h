// What makes worlds of nodes cheap to fuzz without faking anything: X25519 is computed, but only once for each
// pair of keys.
//
// A target that links key_memory.cpp (macrovpn_remembers_keys in CMakeLists.txt) has every call of crypto/x25519.h
// from other files go through a table that lives as long as the process.  It helps because inputs draw the same
// keys: a RepeatingRng gives the n-th key of a node the same bytes in every world, whatever else was drawn in
// between.  Within one world no key comes twice.
#pragma once
#include "base/rng.h"

namespace macrovpn {

class RepeatingRng final : public Rng {
 public:
  explicit RepeatingRng(uint64_t seed) : keys_(2 * seed), others_(2 * seed + 1) {}
  void fill(MutBytes out) override { (out.size() == 32 ? keys_ : others_).fill(out); }

 private:
  SeededRng keys_, others_;
};

}  // namespace macrovpn
