// RegionWatch: what relays' claims of a region are worth to this node (core/discovery/region_check.h): by a country database, if there is one
// on this computer, and by how soon relays answered us, if the user said where the computer is.
#pragma once
#include <functional>
#include <map>
#include <set>

#include "core/discovery/directory.h"
#include "core/discovery/region_check.h"
#include "shell/config/paths.h"
#include "shell/config/settings.h"
#include "shell/region/country_database.h"

namespace macrovpn::app {

class RegionWatch {
 public:
  RegionWatch(const shell::Settings&, const shell::Paths&);

  bool has_database() const { return database_.has_value(); }
  const std::string& file() const { return file_; }      // that was opened, or would have been
  const std::string& trouble() const { return trouble_; }  // why a file that is there cannot be used
  Wall made() const { return database_ ? database_->made() : Wall{}; }

  Region database_says(const RelayInfo&);  // of its first address; not known: nothing
  discovery::Proof judge(const RelayInfo&, const std::optional<RelaySeen>&);
  // Exits whose claim does not count for client.exit_region.
  std::set<PeerId> doubted(const discovery::Directory&, const std::function<std::optional<RelaySeen>(const PeerId&)>& seen);

 private:
  Region own_;
  bool claims_count_;
  std::string file_, trouble_;
  std::optional<shell::CountryDatabase> database_;
  std::map<IpAddress, Region> known_;  // at most kMaxRelays, then begun anew
};

}  // namespace macrovpn::app
