// Writes the classic pcap file: nanosecond stamps, Ethernet link type, in this machine's byte order
// (https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/).
#pragma once

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

namespace netlab {

class PcapFile {
 public:
  PcapFile(const std::string& path, std::uint32_t snap_length);
  PcapFile(PcapFile&& other) noexcept : path_(other.path_), file_(other.file_) { other.file_ = nullptr; }
  PcapFile(const PcapFile&) = delete;
  PcapFile& operator=(const PcapFile&) = delete;
  PcapFile& operator=(PcapFile&&) = delete;
  ~PcapFile();

  struct Stamp {
    std::uint32_t seconds;
    std::uint32_t nanoseconds;
  };
  // `kept` is the start of a frame that was `full_length` bytes long.
  void write(Stamp stamp, std::span<const std::uint8_t> kept, std::uint32_t full_length);
  void flush();

 private:
  void put(const void* bytes, std::size_t size);

  std::string path_;
  std::FILE* file_;
};

}  // namespace netlab
