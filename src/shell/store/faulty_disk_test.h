// For tests: the calls by which SQLite writes, counted over all files of the process; the n-th fails, or ends the process as SIGKILL would
// in the middle of it.
#pragma once
#include <cstdint>

namespace macrovpn::shell {

class FaultyDisk {
 public:
  enum class Fault : uint8_t { none, killed, full };
  FaultyDisk();   // takes the calls' place; one at a time
  ~FaultyDisk();  // and gives it back
  // The step-th call from now, counted from 1, and all later ones where the disk is full.
  void arm(Fault, unsigned step);
  unsigned steps() const;  // since arm()
};

}  // namespace macrovpn::shell
