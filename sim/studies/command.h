// The command line of studies: simulate study NAME …
#pragma once
#include <string>
#include <vector>

namespace macrovpn::sim {

// The words behind "study". 0: measured; 2: the command line cannot be read, or a file not written.
int study(const std::vector<std::string>& words);

}  // namespace macrovpn::sim
