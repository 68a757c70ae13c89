// Service: whether a relay serves just now.  Open, draining (takes nothing new, has told its callers, carries what is there) or
// closed, by what its operator allowed: hours, a monthly amount, and the wish to stop.
#pragma once
#include <cstdint>

#include "base/time.h"

namespace macrovpn::peers {

enum class Service : uint8_t { open, draining, closed };
enum class WhyNot : uint8_t { none, stopping, hours, amount };
const char* id_of(Service);
const char* id_of(WhyNot);  // "": none

// A part of every day, in minutes since midnight of local time; `from` may be later than `until`: over midnight.
struct Hours {
  uint16_t from = 0, until = 0;  // equal: all day
  bool contains(unsigned minute) const;
  auto operator<=>(const Hours&) const = default;
};

struct ServiceLimits {
  uint64_t bytes_per_month = 0;  // 0: no limit
  Hours hours;
  Duration drain = std::chrono::seconds(30);  // at most; then what is left is cut off
};

struct ServiceFacts {
  bool stopping = false;
  unsigned minute_of_day = 0;  // local
  uint64_t month_bytes = 0;
  bool in_use = false;         // there are legs or leases
  Mono last_carried = kLongAgo;
};

class ServicePolicy {
 public:
  // Nobody who is alive is that silent after a goodbye: clients close what they have left.
  static constexpr Duration kQuiet = std::chrono::seconds(4);

  explicit ServicePolicy(const ServiceLimits& limits) : limits_(limits) {}
  Service update(Mono now, const ServiceFacts&);
  Service service() const { return service_; }
  WhyNot why() const { return why_; }

 private:
  WhyNot reason(const ServiceFacts&) const;
  bool over(Mono now, const ServiceFacts&) const;

  ServiceLimits limits_;
  Service service_ = Service::open;
  WhyNot why_ = WhyNot::none;
  Mono draining_since_ = kNever;
};

}  // namespace macrovpn::peers
