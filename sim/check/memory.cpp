// A node that nobody talks to and that has no circuit.  What all nodes share (descriptors, buffers) is not a node's.
#include "sim/check/checker.h"
#include "sim/engine/memory_meter.h"

namespace macrovpn::sim {
namespace {

class Memory final : public Checker {
 public:
  explicit Memory(size_t most) : most_(static_cast<int64_t>(most)) {}
  const char* name() const override { return "memory"; }
  const char* promise() const override { return "an idle node holds less than 64 KiB"; }
  std::string looked_at() const override {
    if (!memory_is_metered()) return "nothing: a sanitizer has the allocator";
    return std::to_string(idle_) + " looks at idle nodes, the largest had " + std::to_string(largest_) + " bytes";
  }

  void touched(World& w, const Host& h) override {
    if (!h.node || !memory_is_metered()) return;
    if (h.node->tunnels().ephemeral_count() > 0 || (h.node->client() && !h.node->client()->circuits().empty())) return;
    idle_++;
    largest_ = std::max(largest_, h.memory);
    if (h.memory <= most_) return;
    broken(w, h.name + " has no sessions and holds " + std::to_string(h.memory) + " bytes", {h.id});
  }

 private:
  int64_t most_;
  int64_t largest_ = 0;
  uint64_t idle_ = 0;
};

}  // namespace

std::unique_ptr<Checker> make_memory_checker(size_t most) { return std::make_unique<Memory>(most); }

}  // namespace macrovpn::sim
