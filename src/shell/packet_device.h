// PacketDevice: a network device of which we are the other end.  What its namespace sends, we read as IP
// packets; what we write, it receives.
//
//   tun    /dev/net/tun
//   veth   where that is missing or closed to us (containers, locked hosts; Debian's default is 0666 but 0600
//   is seen):
//          a veth pair in the namespace, ARP off, and an AF_PACKET socket on the far end
//
// Where the kernel can, many packets pass in one call as a superpacket (offload/virtio_header.h): of what is read, each packet
// is cut out with all its checksums; what is written is put together.  A device that came without (made by an older program,
// or by an old kernel) works packet by packet.
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
#include "shell/offload/coalesce.h"
#include "shell/offload/scatter.h"
#include "shell/offload/virtio_header.h"

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
  PacketDevice(Fd fd, const State& state) : fd_(std::move(fd)), state_(state) { learn_offloads(); }
  // Makes device `name` in the namespace of the calling process, still down: configure_link (tun.h) brings it
  // up. Without `wanted`, a TUN if that can be had, else a veth pair `name` and `name`p.
  static Result<PacketDevice> create(const std::string& name, std::optional<Kind> wanted = std::nullopt);
  // A TUN with several queues (tun.h), as devices that share their name and settings.
  static Result<std::vector<PacketDevice>> create_queues(const std::string& name, size_t count);
  // Fails if the descriptor is not what it is said to be: another process gave it to us.
  static Result<PacketDevice> decode(Fd fd, Bytes state);
  ByteArray<kStateSize> encode() const;

  int fd() const { return fd_.get(); }  // for the reactor: EPOLLIN
  Kind kind() const { return state_.kind; }
  explicit operator bool() const { return static_cast<bool>(fd_); }
  struct Offloads {
    bool tcp = false;  // superpackets of TCP, and of UDP
    bool udp = false;
  };
  Offloads offloads() const { return offloads_; }
  struct Carried {
    uint64_t out = 0, in = 0;  // bytes of IP packets that its namespace sent, and received
  };
  const Carried& carried() const { return carried_; }

  enum class Status : uint8_t { ok, gone };  // gone: the namespace or the device is no more
  // Appends packets to `out` until there are no more, or `max` or more were: a superpacket is never left half read.  Only
  // IPv4 and IPv6.  Neither reading nor writing waits (a TUN: from Linux 6.4 on, or as long as nobody took O_NONBLOCK from
  // the descriptor).
  Status read_packets(PacketPool& pool, std::vector<Packet>& out, size_t max);
  // Returns how many were taken; the others met a full or closed device and are lost, as on any link.  Changes headers.
  size_t write_packets(std::span<Packet> packets);
  bool write_packet(Bytes packet);

 private:
  bool is_genuine() const;
  void learn_offloads();
  Status read_one(PacketPool& pool, std::vector<Packet>& out, bool& more);
  ssize_t read_parts();
  void take_run(PacketPool& pool, std::vector<Packet>& out, size_t size);
  ssize_t write_parts(std::span<const iovec> parts);
  size_t write_apart(size_t group);

  Fd fd_;
  State state_;
  bool header_ = false;  // a virtio header is in front of each packet
  Offloads offloads_;
  Carried carried_;
  Coalescer coalescer_;
  Scatter scatter_;
  size_t guessed_header_ = 0, guessed_segment_ = 0;  // of the last superpacket; 0: none is expected
  unsigned alone_ = 0;                               // packets since it
  std::vector<iovec> parts_;
  ByteArray<VirtioHeader::kSize> virtio_{};
  ByteArray<14> link_{};
};

}  // namespace macrovpn::shell
