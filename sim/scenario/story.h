// Story: what happened, as a person would tell it.  One line per thing worth telling, with virtual time and host; not a packet log.
// The same for every run of a seed, so two stories can be compared with diff.
#pragma once
#include <cstdio>

#include "sim/world/watcher.h"
#include "sim/world/world.h"

namespace macrovpn::sim {

class Story : public Watcher {
 public:
  explicit Story(std::FILE* out) : out_(out) {}
  void node_event(World&, const Host&, const node::NodeEvent&) override;
  void fault(World&, const Host&, const std::string&) override;

 private:
  void tell(const World&, const Host&, const std::string&);
  std::FILE* out_;
};

std::string time_text(Duration);  // 2:05.120
// Of a failure: seed, time, promise, what was seen, and the last events of its hosts.
std::string failure_text(const World&, const Failure&, uint64_t seed, const std::string& scenario);

}  // namespace macrovpn::sim
