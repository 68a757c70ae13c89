#include "core/controller/state.h"

namespace macrovpn::controller {

const char* id_of(State s) {
  switch (s) {
    case State::off:
      return "off";
    case State::starting:
      return "starting";
    case State::connected:
      return "connected";
    case State::reconnecting:
      return "reconnecting";
    case State::blocked:
      return "blocked";
    case State::unprotected:
      return "unprotected";
  }
  return "";
}

const char* word_of(State s) {
  switch (s) {
    case State::off:
      return "Off";
    case State::starting:
      return "Connecting";
    case State::connected:
      return "Protected";
    case State::reconnecting:
      return "Connecting again";
    case State::blocked:
      return "Blocked (kill switch)";
    case State::unprotected:
      return "Not protected";
  }
  return "";
}

std::optional<Mode> parse_mode(std::string_view s) {
  for (const Mode m : {Mode::fast, Mode::balanced, Mode::private_}) {
    if (s == name_of(m)) return m;
  }
  return std::nullopt;
}

const char* name_of(Mode m) {
  switch (m) {
    case Mode::fast:
      return "fast";
    case Mode::balanced:
      return "balanced";
    case Mode::private_:
      return "private";
  }
  return "";
}

unsigned hops_of(Mode m) {
  switch (m) {
    case Mode::fast:
      return 1;
    case Mode::balanced:
      return 2;
    case Mode::private_:
      return 3;
  }
  return 3;
}

State state_of(const Facts& f) {
  if (!f.wanted) return State::off;
  if (f.circuit_ready) return State::connected;
  return f.was_connected ? State::reconnecting : State::starting;
}

}  // namespace macrovpn::controller
