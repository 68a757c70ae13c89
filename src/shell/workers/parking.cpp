#include "shell/workers/parking.h"

namespace macrovpn::shell {

Parking::Parking(size_t threads) {
  for (size_t i = 0; i < threads; i++) bells_.push_back(std::make_unique<Bell>());
}

void Parking::enter(size_t thread, Reactor& reactor) {
  bells_[thread]->hang_in(reactor, [this] { stand(); });
}

void Parking::stand() {
  std::unique_lock lock(mutex_);
  if (!halted_) return;
  const uint64_t round = round_;
  standing_++;
  arrived_.notify_one();
  // The next halt may begin before this thread has noticed the end of the last: then its bell has rung again.
  go_on_.wait(lock, [&] { return !halted_ || round_ != round; });
}

Parking::Halt::Halt(Parking& parking) : parking_(parking) {
  Parking& p = parking;
  if (p.halts_++ != 0 || p.bells_.empty()) return;
  std::unique_lock lock(p.mutex_);
  p.halted_ = true;
  p.round_++;
  p.standing_ = 0;
  for (const auto& bell : p.bells_) bell->ring();
  p.arrived_.wait(lock, [&] { return p.standing_ == p.bells_.size(); });
}

Parking::Halt::~Halt() {
  if (--parking_.halts_ != 0 || parking_.bells_.empty()) return;
  {
    const std::lock_guard lock(parking_.mutex_);
    parking_.halted_ = false;
  }
  parking_.go_on_.notify_all();
}

}  // namespace macrovpn::shell
