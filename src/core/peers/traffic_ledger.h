// TrafficLedger: how much a relay carried today, in this month and ever; numbers without addresses.
//
// A month starts on a day that the operator's contract names, at midnight UTC.  The calendar of a computer may be wrong, and a jump
// must not give a used-up amount back.  So the next month counts only once the calendar and the monotonic clock have agreed for
// kTrust; what is carried until then counts for both.  A calendar that went back never takes bytes off.
#pragma once
#include "base/time.h"

namespace macrovpn::peers {

// What is stored.  Days are counted from 1970-01-01 UTC; month is the first day of the accounting month.  All zero: nothing yet.
struct TrafficRecord {
  int64_t day = 0, month = 0;
  uint64_t day_bytes = 0, month_bytes = 0, total_bytes = 0;
  auto operator<=>(const TrafficRecord&) const = default;
};

class TrafficLedger {
 public:
  static constexpr Duration kTrust = std::chrono::hours(1);
  static constexpr Duration kJump = std::chrono::minutes(10);

  // first_day: 1 to 28, of every month.
  TrafficLedger(const TrafficRecord& stored, unsigned first_day) : record_(stored), first_day_(first_day) {}
  // Bytes carried since the last call.
  void add(Now now, uint64_t bytes);
  const TrafficRecord& record() const { return record_; }
  // When the month that is counted ends, by the calendar.
  Wall next_month() const;

 private:
  void turn_month(int64_t month);

  TrafficRecord record_;
  unsigned first_day_;
  uint64_t ahead_bytes_ = 0;  // of a month that is not trusted yet
  bool started_ = false;
  Duration offset_{};  // of the calendar from the monotonic clock
  Mono steady_since_ = kLongAgo;
};

}  // namespace macrovpn::peers
