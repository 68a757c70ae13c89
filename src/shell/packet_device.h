// PacketDevice: a network device of which we are the other end.  What its namespace sends, we read as IP
// packets; what we write, it receives.
//
//   tun    /dev/net/tun
//   veth   where that is missing or closed to us (containers, locked hosts; Debian's default is 0666 but 0600
//   is seen):
//          a veth pair in the namespace, ARP off, and an AF_PACKET socket on the far end
//
// Made inside the namespace, used outside: pass fd() over a channel with encode(), build it again with
// decode().
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/packet.h"
#include "base/result.h"
#include "shell/fd.h"

namespace macrovpn::shell {

class PacketDevice {
 public:
  enum class Kind : uint8_t { tun = 1, veth = 2 };
  struct State {  // all but the descriptor
    Kind kind = Kind::tun;
    ByteArray<12> ethernet{};  // veth: destination and source address of what we write
  };
  static constexpr size_t kStateSize = 13;

  PacketDevice() = default;
  PacketDevice(Fd fd, const State& state) : fd_(std::move(fd)), state_(state) {}
  // Makes device `name` in the namespace of the calling process, still down: configure_link (tun.h) brings it
  // up. Without `wanted`, a TUN if that can be had, else a veth pair `name` and `name`p.
  static Result<PacketDevice> create(const std::string& name, std::optional<Kind> wanted = std::nullopt);
  // Fails if the descriptor is not what it is said to be: another process gave it to us.
  static Result<PacketDevice> decode(Fd fd, Bytes state);
  ByteArray<kStateSize> encode() const;

  int fd() const { return fd_.get(); }  // for the reactor: EPOLLIN
  Kind kind() const { return state_.kind; }
  explicit operator bool() const { return static_cast<bool>(fd_); }

  enum class Status : uint8_t { ok, gone };  // gone: the namespace or the device is no more
  // Appends up to `max` packets to `out`; stops when there are no more.  Only IPv4 and IPv6.  Neither reading nor
  // writing waits.
  Status read_packets(PacketPool& pool, std::vector<Packet>& out, size_t max);
  // Returns how many were taken; the others met a full or closed device and are lost, as on any link.
  size_t write_packets(std::span<Packet> packets);
  bool write_packet(Bytes packet);

 private:
  bool is_genuine() const;
  ssize_t read_one(uint8_t* at, size_t space);

  Fd fd_;
  State state_;
};

}  // namespace macrovpn::shell
