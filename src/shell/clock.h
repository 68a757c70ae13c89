// The two clocks of this machine, and its random numbers: the only place where they are read.
#pragma once
#include "base/rng.h"
#include "base/time.h"

namespace macrovpn::shell {

Now read_clocks();  // CLOCK_BOOTTIME (it goes on while the machine sleeps) and CLOCK_REALTIME

class OsRng final : public Rng {
 public:
  void fill(MutBytes out) override;  // getrandom(2); aborts if the kernel has none
};

}  // namespace macrovpn::shell
