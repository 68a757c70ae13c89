// What both tools share: an AF_PACKET socket on one interface, and errors that name the call and the interface.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

namespace netlab {

// The machine said no: say what failed and on which interface, and leave.
[[noreturn]] void fail(const std::string& what, const std::string& interface);

// Owns a descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor();
  int get() const { return fd_; }

 private:
  int fd_;
};

// A raw packet socket that receives nothing yet: bind_to() starts it, once rings and filters are in place.
Descriptor open_packet_socket(const std::string& interface);
void bind_to(const Descriptor& socket, const std::string& interface);

void set_option(const Descriptor& socket, int option, const void* value, std::size_t size,
                const std::string& interface);

// An interface that goes down leaves an error on the socket, and poll() would return at once for ever.
void forget_error(const Descriptor& socket);

// Memory shared with the kernel.
class Mapping {
 public:
  Mapping(const Descriptor& socket, std::size_t size, const std::string& interface);
  Mapping(Mapping&& other) noexcept : bytes_(other.bytes_) { other.bytes_ = {}; }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  Mapping& operator=(Mapping&&) = delete;
  ~Mapping();
  std::uint8_t* at(std::size_t offset) const { return bytes_.subspan(offset).data(); }

 private:
  std::span<std::uint8_t> bytes_;
};

}  // namespace netlab
