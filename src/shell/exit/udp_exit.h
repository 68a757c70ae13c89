// UdpExit: UDP through an exit, endpoint-independent (RFC 4787): one outside port for each inside port of a
// lease, whoever it talks to, and anybody may answer there.  Calls and games need that.
//
// Whole datagrams are read from their packets and answers are made into packets here; only fragments pass
// through the private namespace, whose kernel puts them together.  ICMP errors come back as ICMP errors
// (IP_RECVERR).
#pragma once
#include <map>

#include "shell/exit/exit_context.h"
#include "shell/exit/exit_namespace.h"

namespace macrovpn::shell {

class UdpExit {
 public:
  // `dns` takes queries to our own resolver.
  using OnDns = std::function<void(LeaseNumber, const Endpoint& client, const Endpoint& server, Bytes query)>;
  UdpExit(ExitContext& context, ExitNamespace& inside, OnDns dns);
  ~UdpExit();
  // True: it is a fragment, to be written to the device.
  bool admit(Bytes packet, const IpHeader&, LeaseNumber);
  void sweep(Mono now);
  void forget(LeaseNumber);
  size_t ports() const { return ports_.size(); }

 private:
  struct Key {
    LeaseNumber lease;
    Endpoint client;
    auto operator<=>(const Key&) const = default;
  };
  struct Port {
    Key key;
    Fd socket;
    Mono last;
  };
  using Ports = std::map<Key, std::unique_ptr<Port>>;

  // What failed, as an errno, or 0.
  int send(const Key&, const Endpoint& to, Bytes payload);
  Port* find_or_open(const Key&, int& error);
  bool make_room(LeaseNumber);
  void on_reassembled(int socket);
  void on_readable(Port&, uint32_t events);
  void on_error_queue(Port&);
  void close(Ports::iterator);

  ExitContext& context_;
  ExitNamespace& inside_;
  OnDns dns_;
  Ports ports_;
  PerLease per_lease_;
  std::vector<uint8_t> buffer_;
};

}  // namespace macrovpn::shell
