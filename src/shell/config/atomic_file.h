// Files that are always whole: the old contents or the new, whatever dies in between.
//
// Written beside the target as NAME.new, flushed, renamed over it, and the folder flushed.  A writer that was
// killed leaves at most that one NAME.new behind, which the next one takes over; two writers at once wait for
// each other.
#pragma once
#include <sys/types.h>

#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace macrovpn::shell {

enum class FileMode : mode_t { only_us = 0600, readable = 0644 };

Result<void> write_file(const std::string& path, Bytes contents, FileMode = FileMode::only_us);
enum class Created : uint8_t { yes, existed };
// The same for a file that must not be there yet, so that of two programs that start at once one makes it.
Result<Created> create_file(const std::string& path, Bytes contents, FileMode = FileMode::only_us);

// Fails if there is no such file, or it has more than `limit` bytes.
Result<std::vector<uint8_t>> read_file(const std::string& path, size_t limit);
bool file_exists(const std::string& path);

// What went wrong with a file and what to do, from errno.
Failure<Error> file_error(const std::string& what, int error);

}  // namespace macrovpn::shell
