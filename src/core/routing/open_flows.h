// OpenFlows: which TCP connections of a group are open, so that a circuit that carries some is kept alive while nobody
// speaks (an ssh session at night), and one that carries none may lapse.
//
// Learned from the flags of packets that pass: a SYN opens, a RST or a FIN from both ends closes.  A connection that began
// before we looked is not known.  The table is bounded: beyond kMax the oldest is forgotten, which costs it nothing but
// the keeping alive.  Nothing here is ever written down.
#pragma once
#include <map>

#include "base/bytes.h"
#include "base/time.h"

namespace macrovpn::routing {

class OpenFlows {
 public:
  static constexpr size_t kMax = 1024;
  enum class From : uint8_t { program, world };
  void on_packet(Bytes packet, From from);
  bool any() const { return !flows_.empty(); }
  size_t size() const { return flows_.size(); }

 private:
  struct Flow {
    uint64_t opened = 0;  // a count
    bool program_done = false, world_done = false;
  };
  // The far end and both ports; the near end is always ours.
  using Key = ByteArray<20>;
  void open(const Key& k);
  std::map<Key, Flow> flows_;
  std::map<uint64_t, Key> by_age_;
  uint64_t count_ = 0;
};

}  // namespace macrovpn::routing
