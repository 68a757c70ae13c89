// CountryDatabase: to which country an address was given, from a file of MaxMind's format (libmaxminddb reads it).  No file is part of this
// program; docs/decisions/0040 says which one fits and where it is put.  Two forms of records are understood: {"country_code": "NO"}
// and {"country": {"iso_code": "NO"}}.
//
// The file is mapped, not read; a look-up takes some microseconds.  Nobody outside is asked.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "model/ip.h"
#include "model/relay.h"

namespace macrovpn::shell {

class CountryDatabase {
 public:
  static Result<CountryDatabase> open(const std::string& path);
  CountryDatabase(CountryDatabase&&) noexcept;
  CountryDatabase& operator=(CountryDatabase&&) noexcept;
  ~CountryDatabase();

  std::optional<Region> country_of(const IpAddress&) const;  // nothing: not in it
  Wall made() const;

 private:
  struct File;
  explicit CountryDatabase(std::unique_ptr<File>);
  std::unique_ptr<File> file_;
};

// Where such a file is looked for, in this order: `configured` alone if it is not empty.
std::vector<std::string> country_database_places(const std::string& configured, const std::string& data_folder);

}  // namespace macrovpn::shell
