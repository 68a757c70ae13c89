// Worker: one shard on a thread of its own: a reactor, packets, a driver and an exit that no other thread touches.
//
// It is made and put together by the thread of shard 0, then started; from then on ask() is the only way in.
#pragma once
#include <mutex>
#include <thread>

#include "shell/clock.h"
#include "shell/exit/exit_backend.h"
#include "shell/workers/station.h"

namespace macrovpn::shell {

class Worker {
 public:
  Worker() = default;
  ~Worker() { stop(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // ---- before start()
  Reactor& reactor() { return reactor_; }
  PacketPool& pool() { return pool_; }
  Rng& rng() { return rng_; }
  void set_exit(std::unique_ptr<ExitBackend> exit) { exit_ = std::move(exit); }
  Driver& make_driver(const node::NodeConfig& config, Crossing& crossing);

  bool has_driver() const { return driver_ != nullptr; }
  Driver& driver() { return *driver_; }
  ExitBackend* exit() { return exit_.get(); }  // none: nullptr
  Station& station() { return *station_; }

  void start();
  // Runs f on the worker's thread and waits for it; where no thread runs, at once.  Never call it from another worker.
  void ask(const std::function<void()>& f);
  void stop();  // waits for the thread's end

 private:
  void run_errands();

  OsRng rng_;
  PacketPool pool_;
  Reactor reactor_;
  std::unique_ptr<Driver> driver_;
  std::unique_ptr<Station> station_;
  std::unique_ptr<ExitBackend> exit_;  // goes before the driver, which it calls, and the pool
  Bell bell_;                          // for errands
  std::mutex mutex_;
  std::vector<std::function<void()>> errands_;
  std::thread thread_;
};

}  // namespace macrovpn::shell
