// NameLookup: asks the tunnel's resolver for the addresses of one name in one family: UDP, again after 1, 3
// and 7 s, and TCP if the answer was cut.  The question leaves from the group's own address, so that the exit
// sees it in the group's lease.  Nothing is kept: the exit has a cache for each lease.
#pragma once
#include "shell/proxy/name_message.h"
#include "shell/proxy/outbound.h"

namespace macrovpn::shell {

inline constexpr Duration kNameTimeout = 15s;

class NameLookup {
 public:
  using OnEnd = std::function<void(NameAnswer)>;  // may destroy the lookup; never called by the constructor
  NameLookup(const Outbound&, GroupSlot, const routing::DnsName&, IpFamily, OnEnd on_end);
  ~NameLookup();
  NameLookup(const NameLookup&) = delete;
  NameLookup& operator=(const NameLookup&) = delete;

 private:
  bool open(int type, uint32_t events);
  void ask_by_udp();
  void on_udp();
  void on_tcp(uint32_t events);
  void take_tcp_answer();
  void end(NameAnswer);

  const Outbound& outbound_;
  GroupSlot slot_;
  NameQuestion question_;
  OnEnd on_end_;
  Fd socket_;
  bool by_tcp_ = false;
  std::vector<uint8_t> unsent_, received_;  // by TCP
  unsigned asked_ = 0;
  std::optional<Reactor::TimerId> retry_, deadline_;
};

}  // namespace macrovpn::shell
