// macrovpn-simulate SCENARIO --seed N: runs a scenario and says what came of it.  0: every promise held; 1: one did not; 2: the
// scenario or the command line cannot be read.  macrovpn-simulate study NAME --seed N: measures.  macrovpn-simulate model: random
// operations on a model of the tunnel and on real nodes.  macrovpn-simulate directory: the promises of the directory.  eclipse: clients with
// evil sources.  dht: its records among relays that are dead or evil.  flood: false relays without number.
#include "sim/directory/command.h"
#include "sim/directory/dht_trial.h"
#include "sim/directory/eclipse.h"
#include "sim/flood/command.h"
#include "sim/reference/command.h"
#include "sim/scenario/command.h"
#include "sim/studies/command.h"

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words.front() == "study") return macrovpn::sim::study({words.begin() + 1, words.end()});
  if (!words.empty() && words.front() == "model") return macrovpn::sim::simulate_model({words.begin() + 1, words.end()});
  if (!words.empty() && words.front() == "directory") return macrovpn::sim::simulate_directory({words.begin() + 1, words.end()});
  if (!words.empty() && words.front() == "eclipse") return macrovpn::sim::simulate_eclipse({words.begin() + 1, words.end()});
  if (!words.empty() && words.front() == "dht") return macrovpn::sim::simulate_dht({words.begin() + 1, words.end()});
  if (!words.empty() && words.front() == "flood") return macrovpn::sim::simulate_flood({words.begin() + 1, words.end()});
  return macrovpn::sim::simulate(words);
}
