// NatProbe: what stands between this computer and the Internet, found out by asking relays with one socket (RFC 5780, whose words
// these are; RFC 4787).  A state machine without I/O: take() says what to ask, on_answer() takes what came.
//
//   stage 1   ask A for our address; to answer from its other port; to have C, whom we never spoke to, call us.  Ask B, if there is one.
//   stage 2   ask C for our address: a second place from which to be seen, and whether C lives at all
//
// Mapping is judged from A's answer and another's: do both see us at one address and port?  Filtering from who gets in: C
// unasked (endpoint independent), A from another port (address dependent), nobody (address and port dependent).  What was not
// answered is not concluded from: if A does not answer, another takes its place; if C does not answer when asked itself, or A
// did not tell it, then that it did not call says nothing.
//
// With servers that are not ours (Kind::stun), the server's own second address takes C's part, if it has one.
#pragma once
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "core/discovery/stun.h"

namespace macrovpn::discovery {

enum class NatMapping : uint8_t { unknown, none, endpoint_independent, endpoint_dependent };
enum class NatFiltering : uint8_t { unknown, endpoint_independent, address_dependent, address_and_port_dependent };
// What that means for being reached.  open: anybody can call.  mapped: the same through a NAT.  cone: those that we called, so
// two of them reach each other if both try.  hard: the outside port is another for each that we call, so nobody can know it.
enum class NatClass : uint8_t { unknown, silent, open, mapped, cone, hard };
const char* name_of(NatMapping);  // words of RFC 5780
const char* name_of(NatFiltering);
const char* name_of(NatClass);

struct NatReport {
  NatMapping mapping = NatMapping::unknown;
  NatFiltering filtering = NatFiltering::unknown;
  NatClass nat = NatClass::unknown;
  std::optional<Endpoint> outside;  // as A saw us
  size_t asked = 0, answered = 0;   // servers
  Duration round_trip{};            // to A
};

struct StunServer {
  enum class Kind : uint8_t { relay, stun } kind = Kind::relay;
  PeerId relay;  // of a relay
  Endpoint endpoint;
};

class NatProbe {
 public:
  static constexpr size_t kMostServers = 3;
  static constexpr int kTries = 4;
  static constexpr Duration kBetweenTries = 300ms, kLastWait = 900ms;
  // servers: 1 to kMostServers, of one family, at different addresses.  local: where our socket is bound, as the system sees it.
  NatProbe(std::vector<StunServer> servers, const Endpoint& local, Rng& rng);

  void start(Mono now);
  // `from` was checked by nobody: an answer counts if it has the transaction id of a question and comes from where that says.
  void on_answer(Mono now, const Endpoint& from, const stun::Message&);
  void on_deadline(Mono now);
  Mono next_deadline() const;
  struct ToSend {
    size_t server;  // of those given
    std::vector<uint8_t> message;
    size_t least;  // its size once padded
  };
  std::vector<ToSend> take() { return std::exchange(out_, {}); }
  bool done() const { return stage_ == Stage::done; }
  const NatReport& report() const { return report_; }  // when done

 private:
  enum class Stage : uint8_t { idle, first, second, done };
  enum What : size_t { kOfA, kPort, kCall, kOfB, kOfC, kQuestions };
  struct Asked {
    bool used = false, answered = false;
    size_t server = 0;
    stun::TransactionId id{};
    stun::Question question;
    int tries = 0;
    Mono first = kLongAgo, next = kNever;
    Duration took{};
    std::optional<Endpoint> seen;
    bool called = false;  // A says that it has told C
  };
  size_t a() const { return first_; }
  size_t b() const { return first_ + 1; }
  size_t c() const { return servers_.size() - 1; }  // a() itself, if all others are dead
  void ask(Mono now, What what, size_t server, const stun::Question& question);
  void send(Mono now, Asked& q);
  bool comes_from_where_it_should(What what, const Endpoint& from) const;
  bool waits() const;
  void go_on(Mono now);
  void begin(Mono now);
  void conclude();
  NatMapping judge_mapping() const;
  NatFiltering judge_filtering() const;

  std::vector<StunServer> servers_;
  Endpoint local_;
  Rng& rng_;
  Stage stage_ = Stage::idle;
  size_t first_ = 0;  // which server is A
  std::array<Asked, kQuestions> asked_;
  std::vector<ToSend> out_;
  NatReport report_;
};

// The class that follows from the two.
NatClass nat_class_of(NatMapping, NatFiltering);

}  // namespace macrovpn::discovery
