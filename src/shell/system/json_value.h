// Values of JSON that somebody else may have damaged.  (json::value() throws where the type is another one.)
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace macrovpn::shell::system {

// nullptr: `j` is no object, or has no such member.
inline const nlohmann::json* member(const nlohmann::json& j, const char* key) {
  if (!j.is_object()) return nullptr;
  const auto it = j.find(key);
  return it == j.end() ? nullptr : &*it;
}

inline std::optional<std::string> text_in(const nlohmann::json& j, const char* key) {
  const auto* m = member(j, key);
  return m != nullptr && m->is_string() ? std::optional(m->get<std::string>()) : std::nullopt;
}

inline std::optional<uint64_t> count_in(const nlohmann::json& j, const char* key) {
  const auto* m = member(j, key);
  return m != nullptr && m->is_number_unsigned() ? std::optional(m->get<uint64_t>()) : std::nullopt;
}

}  // namespace macrovpn::shell::system
