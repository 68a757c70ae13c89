#include "shell/config/traffic_file.h"

#include <charconv>

#include "shell/config/atomic_file.h"

namespace macrovpn::shell {
namespace {

constexpr std::string_view kTitle = "macrovpn traffic 1\n";
constexpr size_t kMaxFile = 512;

template <class T>
bool next_number(std::string_view& text, std::string_view name, T& out) {
  if (!text.starts_with(name) || text.size() <= name.size() || text[name.size()] != ' ') return false;
  text.remove_prefix(name.size() + 1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{} || end == text.data() + text.size() || *end != '\n') return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
  return true;
}

bool parse(std::string_view text, peers::TrafficRecord& r) {
  if (!text.starts_with(kTitle)) return false;
  text.remove_prefix(kTitle.size());
  constexpr int64_t kDay = 4'000'000;  // in the year 12921: the calendar's arithmetic stays far from its ends
  return next_number(text, "day", r.day) && next_number(text, "month", r.month) &&
         next_number(text, "day_bytes", r.day_bytes) && next_number(text, "month_bytes", r.month_bytes) &&
         next_number(text, "total_bytes", r.total_bytes) && text.empty() && r.day >= 0 && r.day < kDay &&
         r.month >= -31 && r.month < kDay;
}

}  // namespace

Result<peers::TrafficRecord> load_traffic(const std::string& path) {
  peers::TrafficRecord r;
  if (!file_exists(path)) return r;
  TRY(const auto bytes, read_own_file(path, kMaxFile));
  if (!parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, r))
    return fail("the traffic counters in " + path + " are damaged; move that file away to count from zero");
  return r;
}

Result<void> store_traffic(const std::string& path, const peers::TrafficRecord& r) {
  const std::string text = std::string(kTitle) + "day " + std::to_string(r.day) + "\nmonth " + std::to_string(r.month) +
                           "\nday_bytes " + std::to_string(r.day_bytes) + "\nmonth_bytes " + std::to_string(r.month_bytes) +
                           "\ntotal_bytes " + std::to_string(r.total_bytes) + "\n";
  return write_file(path, as_bytes(text));
}

}  // namespace macrovpn::shell
