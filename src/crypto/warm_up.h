// The libraries look algorithms up and allocate at their first use, some milliseconds in all.  Done once at the start of
// a program, a first circuit does not wait for it.
#pragma once

namespace macrovpn::crypto {

void warm_up();

}  // namespace macrovpn::crypto
