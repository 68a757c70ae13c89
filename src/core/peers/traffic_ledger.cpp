#include "core/peers/traffic_ledger.h"

namespace macrovpn::peers {
namespace {

using std::chrono::day;
using std::chrono::days;
using std::chrono::months;
using std::chrono::sys_days;
using std::chrono::year_month;
using std::chrono::year_month_day;

int64_t day_of(Wall w) {
  return std::chrono::floor<days>(w.time_since_epoch()).count();
}

year_month calendar_month(int64_t when) {
  const year_month_day d{sys_days(days(when))};
  return {d.year(), d.month()};
}

int64_t first_of(const year_month& m, unsigned first_day) {
  return sys_days(m / day(first_day)).time_since_epoch().count();
}

int64_t month_of(int64_t when, unsigned first_day) {
  const year_month m = calendar_month(when);
  const int64_t first = first_of(m, first_day);
  return when >= first ? first : first_of(m - months(1), first_day);
}

}  // namespace

void TrafficLedger::turn_month(int64_t month) {
  // Back: the bytes stay, or a wrong clock that was put right would give the amount back.
  if (month > record_.month) record_.month_bytes = ahead_bytes_;
  record_.month = month;
  ahead_bytes_ = 0;
}

void TrafficLedger::add(Now now, uint64_t bytes) {
  const Duration offset = now.wall.time_since_epoch() - now.mono.time_since_epoch();
  if (!started_ || offset - offset_ > kJump || offset_ - offset > kJump) steady_since_ = now.mono;
  started_ = true;
  offset_ = offset;

  const int64_t today = day_of(now.wall);
  const int64_t month = month_of(today, first_day_);
  if (record_.day != today) record_.day_bytes = 0;
  record_.day = today;
  if (record_.month == 0) record_.month = month;
  record_.day_bytes += bytes;
  record_.month_bytes += bytes;
  record_.total_bytes += bytes;
  if (month == record_.month) {
    ahead_bytes_ = 0;
    return;
  }
  ahead_bytes_ += bytes;
  if (now.mono - steady_since_ >= kTrust) turn_month(month);
}

Wall TrafficLedger::next_month() const {
  return Wall(days(first_of(calendar_month(record_.month) + months(1), first_day_)));
}

}  // namespace macrovpn::peers
