// How much memory the program holds just now, counted by the allocator.  What a node holds is the difference that its
// own calls make (sim/world/world.cpp); never part of what is hashed.
#pragma once
#include <cstdint>

namespace macrovpn::sim {

int64_t bytes_held();
bool memory_is_metered();  // not where a sanitizer has the allocator

}  // namespace macrovpn::sim
