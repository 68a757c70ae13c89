// How many more descriptors this process may have, after raising its soft limit to the hard one.
#pragma once
#include <cstddef>

namespace macrovpn::shell {

// Less what is kept for everything else that opens some.
size_t descriptor_room(size_t kept_for_others);

}  // namespace macrovpn::shell
