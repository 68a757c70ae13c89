// Pipes for splice(2).  A flow borrows one only while it holds bytes: the kernel gives all pipes of a user 64
// MiB together and shrinks what comes after, and most flows are idle most of the time.
#pragma once
#include <optional>
#include <vector>

#include "shell/fd.h"

namespace macrovpn::shell {

struct Pipe {
  Fd in, out;  // write end, read end
};

class PipePool {
 public:
  explicit PipePool(size_t limit) : limit_(limit) {}
  std::optional<Pipe> borrow();  // none: at the limit, or out of descriptors
  void give_back(Pipe pipe);     // empty
  void lost() { made_--; }       // one that went down with its bytes
  size_t made() const { return made_; }

 private:
  static constexpr size_t kKeep = 32;
  size_t limit_, made_ = 0;
  std::vector<Pipe> free_;
};

}  // namespace macrovpn::shell
