// The phones that a user added (`macrovpn device`), durably: their names, public keys and preshared keys.  Their private
// keys are never here: they are in the configuration that the phone got, and nowhere else.
//
//   macrovpn devices 1
//   NAME PUBLIC-KEY PRESHARED-KEY          a line each; keys in base64, as WireGuard shows them
#pragma once
#include <string>
#include <vector>

#include "base/result.h"
#include "core/node/phone_side.h"

namespace macrovpn::shell {

struct SavedPhone {
  std::string name;
  node::Phone phone;
};

// What stock apps take as the name of a tunnel: 1 to 15 letters, digits and _ = + . -; not starting with - or a dot.
Result<void> check_phone_name(const std::string& name);

// No file: none was added.  A damaged one is an error: a phone that is missing in it could not be told from one that was
// removed.
Result<std::vector<SavedPhone>> load_phones(const std::string& path);
// Mode 0600.  None: there is no file afterwards.
Result<void> store_phones(const std::string& path, const std::vector<SavedPhone>& phones);

}  // namespace macrovpn::shell
