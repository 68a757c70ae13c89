// History: the last things that happened to a host, for whoever reads a failure.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "base/time.h"
#include "sim/world/host_id.h"

namespace macrovpn::sim {

struct Happened {
  enum class What : uint8_t { nothing, sent, got, deadline, program_sent, program_got, exit_sent, exit_got, command, fault };
  What what = What::nothing;
  Mono at = kLongAgo;
  HostId other{UINT32_MAX};  // if known
  uint32_t size = 0;
};

class History {
 public:
  void add(const Happened& h) {
    last_[next_ % kKept] = h;
    next_++;
  }
  std::vector<Happened> in_order() const {
    std::vector<Happened> out;
    for (size_t i = 0; i < kKept; i++) {
      const Happened& h = last_[(next_ + i) % kKept];
      if (h.what != Happened::What::nothing) out.push_back(h);
    }
    return out;
  }

 private:
  static constexpr size_t kKept = 24;
  std::array<Happened, kKept> last_{};
  size_t next_ = 0;
};

}  // namespace macrovpn::sim
