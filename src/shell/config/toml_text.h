// TOML as a flat list of dotted keys with the lines they stand on, so that every complaint can say FILE:LINE,
// and toml++ stays in one file.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace macrovpn::shell {

using TomlValue = std::variant<std::string, int64_t, bool, std::vector<std::string>>;
struct TomlEntry {
  std::string key;  // "relay.listen"
  TomlValue value;
  unsigned line = 0;
};
// `file` is for the messages.  Dates, floating point numbers and lists of anything but text are refused:
// nothing of ours has them.
Result<std::vector<TomlEntry>> read_toml(std::string_view text, const std::string& file);

std::string to_toml(const TomlValue&);   // quoted as TOML wants it
std::string to_plain(const TomlValue&);  // for a person: text bare, lists with commas

// "FILE:LINE: message"
Failure<Error> toml_error(const std::string& file, unsigned line, const std::string& message);
// " Did you mean 'relay.listen'?", or nothing if no candidate is near.
std::string suggestion(std::string_view wrong, std::span<const std::string_view> candidates);

}  // namespace macrovpn::shell
