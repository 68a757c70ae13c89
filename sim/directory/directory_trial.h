// The promises of the directory, one after the other in one world of relays: what upkeep costs, how fast news travel, that relays which
// censor, die, are cut off, lie or have wrong clocks change nothing that matters, and what a newcomer pays.
#pragma once
#include <functional>
#include <span>

#include "sim/directory/directory_world.h"

namespace macrovpn::sim {

struct DirectoryFigure {
  std::string name;   // for programs
  std::string what;   // for people
  int64_t value = 0;
  int64_t at_most = 0;
  std::string unit;
  bool held() const { return value <= at_most; }
};

struct DirectoryReport {
  std::vector<DirectoryFigure> figures;
  uint64_t hash = 0, messages = 0;
  Duration virtual_time{};
  bool held() const;
};

inline constexpr const char* kDirectoryTrials[] = {"upkeep", "news", "newcomers", "equivocation", "censors", "partition", "clocks", "deaths"};

// `only`: these of kDirectoryTrials; none: all of them.  `progress` is told what begins, and the figures.
DirectoryReport try_directory(const DirectoryOptions&, std::span<const std::string> only, const std::function<void(const char*)>& progress);

}  // namespace macrovpn::sim
