// What the user sees of the VPN: one state, and why.  The words are fixed here for the CLI, the extension and
// docs.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace macrovpn::controller {

enum class State : uint8_t { off, starting, connected, reconnecting, blocked, unprotected };
const char* id_of(State);    // "connected": for programs
const char* word_of(State);  // "Protected": for people

// How many relays stand between the user and a site.
enum class Mode : uint8_t { fast, balanced, private_ };
std::optional<Mode> parse_mode(std::string_view);
const char* name_of(Mode);
unsigned hops_of(Mode);

// The state follows from facts; nobody sets it.
struct Facts {
  bool wanted = false;         // the user turned it on
  bool circuit_ready = false;  // at least one circuit carries traffic
  bool was_connected = false;  // since it was turned on
};
State state_of(const Facts&);

}  // namespace macrovpn::controller
