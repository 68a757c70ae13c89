// Asks for a passphrase on the terminal without showing it, or reads it from a file.
#pragma once
#include <string>

#include "base/result.h"

namespace macrovpn::app {

enum class Ask : bool { once, twice };  // twice: a new one, where a typing error would be fatal
Result<std::string> read_passphrase(const std::string& file, Ask);

// Asks a yes-or-no question on the terminal; fails if there is none.
Result<bool> ask_yes_or_no(const std::string& question);

}  // namespace macrovpn::app
