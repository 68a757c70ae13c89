#include "shell/workers/worker.h"

#include <future>

namespace macrovpn::shell {

Driver& Worker::make_driver(const node::NodeConfig& config, Crossing& crossing) {
  driver_ = std::make_unique<Driver>(reactor_, config, pool_, rng_);
  station_ = std::make_unique<Station>(config.place.shard, crossing, reactor_, pool_, *driver_);
  return *driver_;
}

void Worker::start() {
  bell_.hang_in(reactor_, [this] { run_errands(); });
  driver_->start();
  thread_ = std::thread([this] { reactor_.run(); });
}

void Worker::run_errands() {
  std::vector<std::function<void()>> errands;
  {
    const std::lock_guard guard(mutex_);
    errands.swap(errands_);
  }
  for (const auto& errand : errands) errand();
}

void Worker::ask(const std::function<void()>& f) {
  if (!thread_.joinable()) return f();
  const auto done = std::make_shared<std::promise<void>>();
  {
    const std::lock_guard guard(mutex_);
    errands_.push_back([&f, done] {
      f();
      done->set_value();
    });
  }
  bell_.ring();
  done->get_future().wait();
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  ask([this] { reactor_.stop(); });
  thread_.join();
  bell_.take_from(reactor_);
}

}  // namespace macrovpn::shell
