// Amounts as people write them in settings and on the command line.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "core/peers/service.h"
#include "model/relay.h"

namespace macrovpn::shell {

// "100 Mbit/s", "12 MB/s" or a number of bytes per second.
std::optional<Bandwidth> parse_bandwidth(std::string_view);
// "500 GB", "64 MiB" or a number of bytes; at most 1 EB.
std::optional<uint64_t> parse_amount(std::string_view);
// "90 s", "30 min", "12 h", "1 d" or a number of seconds; at most a year.
std::optional<Duration> parse_duration(std::string_view);
// "22:00-07:00".
std::optional<peers::Hours> parse_hours(std::string_view);

// "1.2 GB", for people.
std::string amount_text(uint64_t bytes);

}  // namespace macrovpn::shell
