// macrovpn-simulate SCENARIO --seed N: runs a scenario and says what came of it.  0: every promise held; 1: one did not; 2: the
// scenario or the command line cannot be read.
#include "sim/scenario/command.h"

int main(int argc, char** argv) {
  return macrovpn::sim::simulate({argv + 1, argv + argc});
}
