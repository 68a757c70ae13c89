// WorkSearch: finds a proof of work (core/discovery/work.h) on a thread of its own, at the lowest priority.
#pragma once
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>

#include "core/discovery/work.h"

namespace macrovpn::app {

class WorkSearch {
 public:
  WorkSearch(const discovery::WorkTask& task, uint64_t first_nonce);
  ~WorkSearch();  // stops it, within one try (20 ms)
  WorkSearch(const WorkSearch&) = delete;
  WorkSearch& operator=(const WorkSearch&) = delete;

  const discovery::WorkTask& task() const { return task_; }
  uint64_t tries() const { return tries_; }
  std::optional<WorkProof> found() const;

 private:
  void run(uint64_t nonce);
  const discovery::WorkTask task_;
  std::atomic<bool> ends_ = false;
  std::atomic<uint64_t> tries_ = 0;
  mutable std::mutex mutex_;
  std::optional<WorkProof> found_;
  std::thread thread_;
};

}  // namespace macrovpn::app
