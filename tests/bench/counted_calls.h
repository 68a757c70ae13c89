// What a test program asks of the heap, of locks and of the kernel: its calls of malloc and its kin (operator new is one of
// them), of pthread's locks, and of the system calls that carry packets.  All of them, libraries' too: the program's own
// functions of these names stand before the C library's.
#pragma once
#include <cstddef>

namespace macrovpn::counted {

struct Calls {
  size_t allocations = 0, locks = 0, kernel = 0;
  Calls operator-(const Calls& o) const {
    return {allocations - o.allocations, locks - o.locks, kernel - o.kernel};
  }
};
const Calls& calls();
// False under a sanitizer, which has its own malloc: allocations are not counted then.
bool counts_allocations();

}  // namespace macrovpn::counted
