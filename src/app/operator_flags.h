// What a relay's operator allows, on the command line; settings of the same meaning are relay.* (shell/config/settings.h).
#pragma once
#include <optional>
#include <string>

#include "app/command.h"

namespace macrovpn::app {

struct OperatorFlags {
  std::string rate, month_amount, hours, memory;
  std::optional<unsigned> month_day, drain_seconds;
  std::optional<size_t> circuits;
  std::optional<unsigned> workers;
};
void add_operator_flags(CLI::App&, OperatorFlags&);
Result<void> apply(const OperatorFlags&, shell::Settings&);

// `macrovpn relay notice`: a text that an exit's operator can publish on the exit's address.
void add_notice(CLI::App& relay, Program&);

}  // namespace macrovpn::app
