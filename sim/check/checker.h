// Checker: one promise of Macro VPN, watched while a world runs.  The first that does not hold stops the run.
//
// One promise a file.  Those about one event are judged at the event, those about a host after each event that touched it, those
// about the world each virtual second.  To add one: a class here beside the others, and a line in checkers.cpp.
#pragma once
#include <memory>
#include <vector>

#include "sim/world/watcher.h"
#include "sim/world/world.h"

namespace macrovpn::sim {

class Checker : public Watcher {
 public:
  virtual const char* name() const = 0;     // a word
  virtual const char* promise() const = 0;  // a sentence, that a failure prints
  // A line for the end of a run: what was looked at, so that a promise about nothing is noticed.
  virtual std::string looked_at() const = 0;

 protected:
  void broken(World& w, std::string seen, std::vector<HostId> hosts) const {
    w.fail({name(), promise(), std::move(seen), std::move(hosts)});
  }
};

struct CheckerLimits {
  Duration recovery = 30s;  // after the last fault healed
  size_t idle_node = 64 * 1024;
};

std::unique_ptr<Checker> make_plaintext_checker();
std::unique_ptr<Checker> make_both_ends_checker();
std::unique_ptr<Checker> make_once_checker();
std::unique_ptr<Checker> make_nonce_checker();
std::unique_ptr<Checker> make_leak_checker();
std::unique_ptr<Checker> make_table_checker();
std::unique_ptr<Checker> make_amplification_checker();
std::unique_ptr<Checker> make_recovery_checker(Duration);
std::unique_ptr<Checker> make_memory_checker(size_t);
std::unique_ptr<Checker> make_answers_checker();

std::vector<std::unique_ptr<Checker>> all_checkers(const CheckerLimits&);

}  // namespace macrovpn::sim
