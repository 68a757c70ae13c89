#include "core/peers/service.h"

#include <algorithm>

namespace macrovpn::peers {
namespace {
// While it drains for its amount a relay may exceed it by this part.
constexpr uint64_t kOverrunPart = 100;
}  // namespace

const char* id_of(Service s) {
  switch (s) {
    case Service::open:
      return "open";
    case Service::draining:
      return "draining";
    case Service::closed:
      return "closed";
  }
  return "";
}

const char* id_of(WhyNot w) {
  switch (w) {
    case WhyNot::none:
      return "";
    case WhyNot::stopping:
      return "stopping";
    case WhyNot::hours:
      return "hours";
    case WhyNot::amount:
      return "amount";
  }
  return "";
}

bool Hours::contains(unsigned minute) const {
  if (from == until) return true;
  if (from < until) return minute >= from && minute < until;
  return minute >= from || minute < until;
}

WhyNot ServicePolicy::reason(const ServiceFacts& f) const {
  if (f.stopping) return WhyNot::stopping;
  if (limits_.bytes_per_month != 0 && f.month_bytes >= limits_.bytes_per_month) return WhyNot::amount;
  return limits_.hours.contains(f.minute_of_day) ? WhyNot::none : WhyNot::hours;
}

bool ServicePolicy::over(Mono now, const ServiceFacts& f) const {
  const Mono quiet_since = std::max(draining_since_, f.last_carried);
  if (!f.in_use || now >= draining_since_ + limits_.drain || now >= quiet_since + kQuiet) return true;
  const uint64_t amount = limits_.bytes_per_month;
  return amount != 0 && f.month_bytes > amount && f.month_bytes - amount > amount / kOverrunPart;
}

Service ServicePolicy::update(Mono now, const ServiceFacts& f) {
  why_ = reason(f);
  if (why_ == WhyNot::none) {
    service_ = Service::open;
  } else if (service_ == Service::open) {
    service_ = Service::draining;
    draining_since_ = now;
  } else if (service_ == Service::draining && over(now, f)) {
    service_ = Service::closed;
  }
  return service_;
}

}  // namespace macrovpn::peers
