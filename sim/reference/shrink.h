// Shrinking: of a sequence that fails, one that still fails and of which nothing can be left out.
//
// Greedy: large pieces first, then smaller ones, then single ones, again and again until nothing goes any more.  It ends after
// `most` tries in any case.  The idea is Zeller's and Hildebrandt's delta debugging (2002), without its complements.
#pragma once
#include <cstddef>
#include <vector>

namespace macrovpn::sim {

// `fails` is asked about sequences that came from `all` by leaving out; it is true for `all`.
template <class T, class Fails>
std::vector<T> shrink(std::vector<T> all, size_t most, Fails fails) {
  bool smaller = true;
  for (size_t piece = all.size() / 2 + 1; (smaller || piece > 1) && most > 0;) {
    piece = smaller && piece == 1 ? 1 : (piece + 1) / 2;
    smaller = false;
    for (size_t at = all.size(); at > 0 && most > 0;) {  // from the end: what is late was often not needed
      const size_t begin = at > piece ? at - piece : 0;
      std::vector<T> fewer(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(begin));
      fewer.insert(fewer.end(), all.begin() + static_cast<std::ptrdiff_t>(at), all.end());
      most--;
      if (fails(fewer)) {
        all = std::move(fewer);
        smaller = true;
      }
      at = begin;
    }
  }
  return all;
}

}  // namespace macrovpn::sim
