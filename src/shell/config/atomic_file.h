// Files that are always whole: the old contents or the new, whatever dies in between.
//
// Written beside the target under one name for all files of a folder, flushed, renamed over the target, and the folder flushed.  A
// writer that was killed leaves at most that one file behind, which the next writer in the folder takes over, whatever it writes; two
// writers at once wait for each other.
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
// The same for a file that says what we do: one that another user owns (root may), or that everybody can write to, is refused.
Result<std::vector<uint8_t>> read_own_file(const std::string& path, size_t limit);
bool file_exists(const std::string& path);

// What went wrong with a file and what to do, from errno.
Failure<Error> file_error(const std::string& what, int error);

}  // namespace macrovpn::shell
