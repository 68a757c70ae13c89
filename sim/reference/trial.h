// Trial: a sequence of operations on the model and on real nodes, compared after each of them and every 100 ms between.
#pragma once
#include <cstdio>
#include <functional>

#include "sim/check/checker.h"
#include "sim/reference/model.h"
#include "sim/reference/small_net.h"

namespace macrovpn::sim {

struct TrialResult {
  std::optional<Failure> failure;
  size_t done = 0;       // operations that were carried out before it
  Duration lasted{0};
  uint64_t hash = 0;     // of the world's trace
  size_t packets = 0, answered = 0, promised = 0;
};

class Trial {
 public:
  explicit Trial(uint64_t seed);
  ~Trial();
  // For a story: told before each operation.
  std::function<void(const World&, const Operation&)> told;
  void watch(Watcher& w) { net_.world().watch(w); }
  // The operations, then everything is made well again and must be well.
  TrialResult run(const std::vector<Operation>&);

 private:
  class Eyes;
  void carry_out(const Operation&);
  void on_client(const Operation&);
  void on_relay(const Operation&);
  void on_links(const Operation&);
  void turn(size_t device, bool on);
  void start_client(size_t client);
  void send(size_t device, const Endpoint& to, bool has_repeats);
  void trespass(size_t device, Trespass);
  void submit(size_t device, const IpAddress& from, const Endpoint& to, Model::Sent);
  void repeat_questions();
  void make_well();
  void pass(Duration);
  void compare();
  Model::Said said(size_t client) const;
  void wrong(const Wrong&, size_t client);
  void reconfigure(size_t client, Settings);
  Mono now() const { return net_.world().now().mono; }

  SmallNet net_;
  Model model_;
  SeededRng rng_;
  std::vector<std::unique_ptr<Checker>> checkers_;
  std::unique_ptr<Eyes> eyes_;
  std::array<Mono, kDevices> asked_again_;
  std::array<size_t, kDevices> asks_server_{};
  std::array<uint64_t, kRelays> lives_{};
  std::array<bool, kClients> asleep_{};
  uint64_t next_number_ = 1;
};

}  // namespace macrovpn::sim
