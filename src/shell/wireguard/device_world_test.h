// Tests only: a device without TUN and without root: its packet device is one end of a socket pair for each worker, its wire the
// loopback interface.
#pragma once
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "core/routing/ip_packet.h"
#include "core/routing/ip_reply.h"
#include "crypto/x25519.h"
#include "shell/wireguard/device.h"

namespace macrovpn::shell {

struct TestDevice {
  explicit TestDevice(size_t workers = 1) {
    std::vector<PacketDevice> queues;
    for (size_t i = 0; i < workers; i++) {
      int ends[2];
      MV_ASSERT(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
      near.emplace_back(ends[0]);
      queues.emplace_back(Fd(ends[1]), PacketDevice::State{});
    }
    device.emplace(reactor, std::move(queues), log);
    OsRng rng;
    keys = crypto::x25519_generate(rng);
  }
  int set(const std::string& body) {
    const uapi::SetRequest r = uapi::parse_set(body);
    const uapi::Refusal applied = device->apply(r.changes);
    device->check_invariants();
    return applied.number != 0 ? applied.number : r.refusal.number;
  }
  std::string get() const { return uapi::print(device->state()); }
  bool says(const std::string& line) const { return get().find(line + "\n") != std::string::npos; }
  uint64_t count(const std::string& name) const {
    for (const auto& [key, n] : device->counters()) {
      if (key == name) return n;
    }
    return 0;
  }
  std::string name() const { return "public_key=" + to_hex(keys.pub.bytes) + "\n"; }
  void up(unsigned mtu = 1420) {
    set("private_key=" + to_hex(keys.secret.reveal()) + "\n");
    device->set_link({true, mtu});
  }
  std::string port() const { return std::to_string(device->state().listen_port); }
  void put(Bytes packet, size_t queue = 0) {
    ASSERT_EQ(send(near[queue].get(), packet.data(), packet.size(), 0), static_cast<ssize_t>(packet.size()));
  }
  std::vector<uint8_t> take(size_t queue = 0) {
    std::vector<uint8_t> out(4096);
    const ssize_t n = recv(near[queue].get(), out.data(), out.size(), 0);
    out.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return out;
  }
  // A round of every worker, as long as they have no threads of their own.
  void run() {
    for (size_t i = 0; i < device->workers(); i++) device->reactor_of(i).run_once(Duration::zero());
  }

  Reactor reactor;
  DeviceLog log{"test", LogLevel::silent};
  std::vector<Fd> near;  // the far ends of its queues
  std::optional<WireGuardDevice> device;
  KeyPair keys;
};

// A UDP packet; `number` is told by number_of().
inline std::vector<uint8_t> packet(const char* from, const char* to, uint32_t number = 0, size_t payload = 12) {
  PacketPool pool;
  Packet p = pool.take();
  const MutBytes udp =
      routing::start_ip(*IpAddress::parse(from), *IpAddress::parse(to), routing::IpProtocol::udp, payload, p);
  store_be16(&udp[4], static_cast<uint16_t>(payload));
  store_be32(&udp[8], number);
  routing::finish_ip(p);
  return {p.bytes().begin(), p.bytes().end()};
}
inline uint32_t number_of(Bytes ip_packet) {
  return load_be32(&ip_packet[28]);
}

}  // namespace macrovpn::shell
