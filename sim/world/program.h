// Program: what runs on a host beside the node.  On a client it sends and gets the IP packets of the tunnel's device, on a server
// those of the Internet.  Both are the same to it.
#pragma once
#include "base/packet.h"
#include "base/time.h"

namespace macrovpn::sim {

// What a program may do; valid while it is called.
class ProgramPort {
 public:
  virtual ~ProgramPort() = default;
  virtual Mono now() const = 0;
  virtual Packet empty_packet() = 0;
  virtual void send(Packet ip) = 0;
  virtual void wake_at(Mono) = 0;  // kNever: not.  One time per program, the newest counts
};

struct ProgramStats {
  uint64_t requests = 0, answered = 0;
  uint64_t bytes_up = 0, bytes_down = 0;  // payload that arrived, of IP packets
};

class Program {
 public:
  virtual ~Program() = default;
  virtual void start(ProgramPort&) {}
  virtual void on_packet(ProgramPort&, Bytes ip) = 0;
  virtual void on_timer(ProgramPort&) {}
  virtual void stop(ProgramPort&) {}  // asked to begin nothing new
  ProgramStats stats;
};

}  // namespace macrovpn::sim
