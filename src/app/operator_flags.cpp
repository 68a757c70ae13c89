#include "app/operator_flags.h"

#include <CLI/CLI.hpp>

#include "core/peers/resources.h"

namespace macrovpn::app {

void add_operator_flags(CLI::App& cmd, OperatorFlags& f) {
  cmd.add_option("--rate", f.rate, "carry at most so much, both directions added, like \"20 Mbit/s\"")->type_name("RATE");
  cmd.add_option("--month", f.month_amount, "carry at most so much in a month, like \"500 GB\"; then rest")
      ->type_name("AMOUNT");
  cmd.add_option("--month-day", f.month_day, "the day on which that month starts, at midnight UTC")
      ->check(CLI::Range(1, 28));
  cmd.add_option("--hours", f.hours, "serve only then, local time, like 22:00-07:00")->type_name("FROM-UNTIL");
  cmd.add_option("--circuits", f.circuits, "carry at most so many circuits at once")->check(CLI::Range(1, 65'536));
  cmd.add_option("--memory", f.memory, "use about so much memory at most, like \"256 MiB\"")->type_name("AMOUNT");
  cmd.add_option("--workers", f.workers, "carry the traffic with so many threads, by itself 1")
      ->check(CLI::Range(1, 16));
  cmd.add_option("--drain", f.drain_seconds, "when it ends, wait so many seconds at most until its circuits have moved")
      ->check(CLI::Range(0, 600));
}

Result<void> apply(const OperatorFlags& f, shell::Settings& s) {
  if (!f.rate.empty()) {
    const auto rate = shell::parse_bandwidth(f.rate);
    if (!rate) return fail("--rate must be like \"20 Mbit/s\" or \"2 MB/s\"");
    s.rate = *rate;
  }
  if (!f.month_amount.empty()) {
    const auto amount = shell::parse_amount(f.month_amount);
    if (!amount) return fail("--month must be like \"500 GB\" or \"64 MiB\"");
    s.month_amount = *amount;
  }
  if (!f.hours.empty()) {
    const auto hours = shell::parse_hours(f.hours);
    if (!hours) return fail("--hours must be like 22:00-07:00");
    s.hours = *hours;
  }
  if (!f.memory.empty()) {
    const auto memory = shell::parse_amount(f.memory);
    if (!memory || *memory < peers::kLeastRelayMemory) return fail("--memory must be at least \"64 MiB\"");
    s.memory = *memory;
  }
  s.month_day = f.month_day.value_or(s.month_day);
  s.drain_seconds = f.drain_seconds.value_or(s.drain_seconds);
  s.circuits = f.circuits.value_or(s.circuits);
  s.workers = f.workers.value_or(s.workers);
  return {};
}

}  // namespace macrovpn::app
