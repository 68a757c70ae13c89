// What a stranger is shown: an ordinary web page, the same whatever was asked.
#pragma once
#include <string>

#include "base/time.h"

namespace macrovpn::shell::https {

inline constexpr size_t kMaxPage = 64 * 1024;
extern const char* const kStandardPage;

// The whole answer, with the date that every server tells (RFC 9110 §6.6.1).
std::string page_answer(const std::string& html, Wall now);

}  // namespace macrovpn::shell::https
