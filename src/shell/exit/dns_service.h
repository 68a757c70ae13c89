// DnsService: the sockets of a DnsResolver.  To clients it speaks UDP as packets and TCP on connections that
// were accepted for it; to its upstreams it opens a fresh connected socket for each question.
#pragma once
#include <map>

#include "shell/exit/exit_context.h"

namespace macrovpn::shell {

class DnsService {
 public:
  DnsService(ExitContext& context, Rng& rng);
  ~DnsService();
  // A UDP query of a client; the answer goes out as a packet from `server` to `client`.
  void query(LeaseNumber, const Endpoint& client, const Endpoint& server, Bytes message);
  // A TCP connection to our resolver (RFC 7766).
  void adopt(LeaseNumber, Fd connection);
  void sweep(Mono now);
  void forget(LeaseNumber);
  const routing::DnsResolver& resolver() const { return resolver_; }

 private:
  struct Waiting {  // for a reply, by UDP or on a connection
    LeaseNumber lease;
    Endpoint client, server;
    uint64_t connection = 0;
  };
  struct Upstream {
    Fd socket;
    routing::DnsTransport transport{};
    std::vector<uint8_t> unsent, received;
  };
  struct Connection {
    LeaseNumber lease;
    Fd socket;
    std::vector<uint8_t> received, unsent;
    Mono last;
    size_t asked = 0;  // queries without their answers
    uint32_t wanted = 0;
  };
  using Connections = std::map<uint64_t, Connection>;

  void take(LeaseNumber, const Waiting&, routing::DnsTransport, Bytes message);
  void process(routing::DnsEffects effects);
  void reply(const routing::DnsEffects::Reply&);
  bool open_upstream(const routing::DnsEffects::Ask&);
  void close_upstream(routing::DnsAskId);
  void on_upstream(routing::DnsAskId, uint32_t events);
  bool on_upstream_udp(routing::DnsAskId, Upstream&);
  bool on_upstream_tcp(routing::DnsAskId, Upstream&);
  void on_connection(uint64_t id, uint32_t events);
  void take_messages(uint64_t id);
  void watch(Connection&);
  Connections::iterator close(Connections::iterator);
  void arm();

  ExitContext& context_;
  routing::DnsResolver resolver_;
  std::map<routing::DnsTicket, Waiting> waiting_;
  std::map<routing::DnsAskId, Upstream> upstreams_;
  Connections connections_;
  PerLease per_lease_;
  uint64_t next_ = 1;
  std::optional<Reactor::TimerId> timer_;
  std::vector<uint8_t> buffer_;
};

}  // namespace macrovpn::shell
