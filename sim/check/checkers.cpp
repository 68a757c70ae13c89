#include "sim/check/checker.h"

namespace macrovpn::sim {

std::vector<std::unique_ptr<Checker>> all_checkers(const CheckerLimits& limits) {
  std::vector<std::unique_ptr<Checker>> all;
  all.push_back(make_plaintext_checker());
  all.push_back(make_both_ends_checker());
  all.push_back(make_once_checker());
  all.push_back(make_nonce_checker());
  all.push_back(make_leak_checker());
  all.push_back(make_table_checker());
  all.push_back(make_amplification_checker());
  all.push_back(make_recovery_checker(limits.recovery));
  all.push_back(make_memory_checker(limits.idle_node));
  all.push_back(make_answers_checker());
  return all;
}

}  // namespace macrovpn::sim
