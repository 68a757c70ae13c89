// TcpExit: TCP through an exit's private network.
//
// A SYN is held back until the real connection stands: then it goes in, the kernel inside answers it, and the
// accepted socket is joined to the real one (splice_pair.h).  A refused connection is answered with RST and
// an unreachable place with ICMP, so the client sees what it would see without us, and Happy Eyeballs works.
// Letting the kernel accept first would show every closed port as an open one that breaks.
#pragma once
#include <map>

#include "shell/acceptor.h"
#include "shell/exit/dns_service.h"
#include "shell/exit/exit_context.h"
#include "shell/exit/exit_namespace.h"
#include "shell/exit/splice_pair.h"

namespace macrovpn::shell {

class TcpExit {
 public:
  TcpExit(ExitContext& context, DnsService& dns, ExitNamespace& inside);
  ~TcpExit();
  // True: the packet is to be written to the device.  It was parsed and its lease is known; not yet judged.
  bool admit(Packet& packet, const IpHeader&, LeaseNumber);
  void sweep(Mono now);  // every few seconds: timeouts
  void forget(LeaseNumber);
  size_t flows() const { return flows_.size(); }

 private:
  struct Key {
    LeaseNumber lease;
    Endpoint client, server;  // the client's private address
    auto operator<=>(const Key&) const = default;
  };
  enum class State : uint8_t { connecting, ready, joined };  // ready: waits for the kernel inside
  struct Flow {
    Key key;
    State state = State::connecting;
    Mono since;
    Fd outside;  // until it is joined
    Packet syn;  // while connecting
    std::unique_ptr<SplicePair> pair;
  };
  using Flows = std::map<Key, std::unique_ptr<Flow>>;

  bool on_syn(Packet& packet, const IpHeader&, LeaseNumber);
  void connect_outside(Key key, Packet syn, const IpHeader&);
  void on_connected(Flow&);
  void refuse(Bytes syn, int error);
  void join(Fd inside);
  void close(Flows::iterator);
  bool lapsed(const Flow&, Mono now) const;

  ExitContext& context_;
  DnsService& dns_;
  ExitNamespace& inside_;
  PipePool pipes_;
  Acceptor acceptor_;
  Flows flows_;
  PerLease per_lease_;
};

}  // namespace macrovpn::shell
