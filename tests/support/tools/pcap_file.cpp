#include "pcap_file.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace netlab {
namespace {

[[noreturn]] void cannot_write(const std::string& path) {
  std::fprintf(stderr, "netlab-capture: cannot write %s: %s\n", path.c_str(), std::strerror(errno));
  std::exit(1);
}

}  // namespace

PcapFile::PcapFile(const std::string& path, std::uint32_t snap_length)
    : path_(path), file_(std::fopen(path.c_str(), "wbe")) {
  if (file_ == nullptr) cannot_write(path_);
  constexpr std::uint32_t kNanosecondMagic = 0xa1b23c4d, kVersion2_4 = 2 | (4U << 16U), kEthernet = 1;
  const std::array<std::uint32_t, 6> header{kNanosecondMagic, kVersion2_4, 0, 0, snap_length, kEthernet};
  put(header.data(), sizeof header);
  flush();
}

PcapFile::~PcapFile() {
  if (file_ != nullptr && std::fclose(file_) != 0) cannot_write(path_);
}

void PcapFile::write(Stamp stamp, std::span<const std::uint8_t> kept, std::uint32_t full_length) {
  const std::array<std::uint32_t, 4> record{stamp.seconds, stamp.nanoseconds, static_cast<std::uint32_t>(kept.size()),
                                            full_length};
  put(record.data(), sizeof record);
  put(kept.data(), kept.size());
}

void PcapFile::flush() {
  if (std::fflush(file_) != 0) cannot_write(path_);
}

void PcapFile::put(const void* bytes, std::size_t size) {
  if (std::fwrite(bytes, 1, size, file_) != size) cannot_write(path_);
}

}  // namespace netlab
