// A file in memory with the bytes of an input, for readers that want a path.
#pragma once
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "base/bytes.h"

namespace macrovpn {

class MemoryFile {
 public:
  explicit MemoryFile(Bytes contents) : fd_(memfd_create("fuzz", MFD_CLOEXEC)) {
    MV_ASSERT(fd_ >= 0 && fchmod(fd_, 0600) == 0);
    MV_ASSERT(write(fd_, contents.data(), contents.size()) == static_cast<ssize_t>(contents.size()));
  }
  MemoryFile(const MemoryFile&) = delete;
  ~MemoryFile() { close(fd_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

}  // namespace macrovpn
