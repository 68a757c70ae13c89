// Pictures of a run, for --plot: a person would rather look than read.
#pragma once
#include <array>
#include <map>

#include "sim/scenario/run.h"

namespace macrovpn::sim {

// Where circuits begin, pass and end, on the map.
class PathChoice : public Watcher {
 public:
  using Counts = std::array<uint64_t, 3>;  // as first, between, last
  void node_event(World&, const Host&, const node::NodeEvent&) override;
  const std::map<Place, Counts>& by_place() const { return by_place_; }

 private:
  std::map<Place, Counts> by_place_;
};

struct Picture {
  std::string name;  // of a file
  std::string svg;
};
std::vector<Picture> pictures_of(const Simulation&, const PathChoice&);

}  // namespace macrovpn::sim
