// Dial: one attempt to connect to a target for a group.
//
// A name is looked up in both families at once; then addresses are tried with IPv6 first and the families in
// turn, each 250 ms after the one before or as soon as that failed, and the first that connects wins ("Happy
// Eyeballs", RFC 8305, without its sorting).  If the IPv4 addresses are known first, those of IPv6 get 50 ms.
#pragma once
#include <list>

#include "shell/proxy/name_lookup.h"
#include "shell/proxy/target.h"

namespace macrovpn::shell {

inline constexpr Duration kDialTimeout = 30s;

class Dial {
 public:
  using OnEnd = std::function<void(Outcome, Fd)>;  // may destroy the dial; never called by the constructor
  Dial(const Outbound&, GroupSlot, const Target&, OnEnd on_end);
  ~Dial();
  Dial(const Dial&) = delete;
  Dial& operator=(const Dial&) = delete;

 private:
  static constexpr Duration kBetweenAttempts = 250ms, kResolutionDelay = 50ms;
  struct Side {  // of one family
    std::unique_ptr<NameLookup> lookup;
    std::vector<IpAddress> waiting;
  };
  Side& side(IpFamily f) { return sides_[f == IpFamily::v6 ? 0 : 1]; }
  void look_up();
  void on_names(IpFamily, NameAnswer);
  void try_next();
  std::optional<IpAddress> next_address();
  bool start_attempt(const IpAddress&);
  void on_attempt(int fd);
  void arm(Duration);
  void end(Outcome, Fd = {});

  const Outbound& outbound_;
  GroupSlot slot_;
  Target target_;
  OnEnd on_end_;
  Side sides_[2];                   // v6, v4
  IpFamily turn_ = IpFamily::v6;    // whose address is tried next
  bool may_begin_with_v4_ = false;  // the 50 ms are over
  std::list<Fd> attempts_;
  Outcome worst_ = Outcome::connected;  // of the attempts, that tells most; connected: none failed yet
  Outcome name_ = Outcome::no_such_name;
  std::optional<Reactor::TimerId> next_, deadline_;
};

}  // namespace macrovpn::shell
