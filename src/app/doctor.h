// What `macrovpn doctor` looks at.  Each check says what was found, and in one sentence what to do about it; what could not be looked
// at is said to be untested, and why.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "app/command.h"
#include "model/relay.h"

namespace macrovpn::app {

enum class Verdict : uint8_t { good, note, problem, untested };
const char* name_of(Verdict);

struct Finding {
  std::string what;
  Verdict verdict = Verdict::good;
  std::string text;
  std::string advice;  // may be empty
};

// doctor_computer.cpp: what this program needs of the computer, the clock and name servers.
std::vector<Finding> examine_computer(const Home&);
// doctor_network.cpp: the way to the Internet.  `servers`: ordinary STUN servers instead of relays.
struct NetworkQuestions {
  std::vector<Endpoint> servers;
};
// doctor_https.cpp: the first few of these that offer it; waits five seconds at most.
struct HttpsAnswers {
  size_t asked = 0;
  bool works = false;
  bool wrong_certificate = false;  // somebody else answered in a relay's place
};
HttpsAnswers ask_by_https(const Home&, const NetworkId&, std::span<const RelayInfo> relays);
std::vector<Finding> examine_network(const Home&, const NetworkQuestions&);

}  // namespace macrovpn::app
