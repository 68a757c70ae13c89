// The configuration protocol of a WireGuard device: any requests, in any pieces, to a device that is down (so
// that nothing leaves this process).  Whatever it was told, what it says of itself makes a second device
// equal to it.  What follows the first zero byte are packets for the device.
#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>

#include "shell/wireguard/device.h"

using namespace macrovpn;
using namespace macrovpn::shell;

namespace {

struct Device {
  explicit Device(Reactor& reactor) {
    int ends[2];
    MV_ASSERT(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    near = Fd(ends[0]);
    std::vector<PacketDevice> queues;
    queues.emplace_back(Fd(ends[1]), PacketDevice::State{});
    device.emplace(reactor, std::move(queues), log);
  }
  int set(std::string_view body) {
    const uapi::SetRequest r = uapi::parse_set(body);
    MV_ASSERT(r.refusal.number == 0 || r.refusal.number == EINVAL || r.refusal.number == EPROTO);
    MV_ASSERT((r.refusal.number == 0) == r.refusal.why.empty());
    const uapi::Refusal applied = device->apply(r.changes);
    MV_ASSERT(applied.number == 0 || applied.number == ENOSPC);
    device->check_invariants();
    return r.refusal.number;
  }
  DeviceLog log{"fuzz", LogLevel::silent};
  Fd near;
  std::optional<WireGuardDevice> device;
};

// The answer to get, as the lines of a set.
std::string as_settings(const std::string& got) {
  std::string out;
  for (size_t at = 0; at < got.size();) {
    const size_t end = got.find('\n', at);
    const std::string line = got.substr(at, end + 1 - at);
    at = end + 1;
    if (line.starts_with("last_") || line.starts_with("tx_") || line.starts_with("rx_")) continue;
    out += line;
  }
  return out;
}

void feed(Device& d, std::string_view text, size_t piece) {
  std::string in;
  size_t searched = 0;
  while (!text.empty() || !in.empty()) {
    const auto more = text.empty() ? uapi::More::none : uapi::More::may_come;
    const uapi::Request r = uapi::next_request(in, searched, more);
    MV_ASSERT(r.size <= in.size());
    if (r.operation == uapi::Operation::unknown) return;
    if (r.operation == uapi::Operation::incomplete) {
      if (text.empty()) return;
      searched = in.size();
      const size_t n = std::min(piece, text.size());
      in.append(text.substr(0, n));
      text.remove_prefix(n);
      continue;
    }
    MV_ASSERT(r.size > 0);
    if (r.operation == uapi::Operation::set) d.set(r.body);
    in.erase(0, r.size);
    searched = 0;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Reactor reactor, other;
  Device first(reactor), second(other);
  std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t end = std::min(text.find('\0'), text.size());
  feed(first, text.substr(0, end), 1 + data[0]);
  for (std::string_view packets = text.substr(end); !packets.empty();) {
    const size_t n = std::min<size_t>(packets.size(), 48);
    static_cast<void>(send(first.near.get(), packets.data(), n, 0));
    packets.remove_prefix(n);
  }
  reactor.run_once(Duration::zero());
  first.device->check_invariants();
  static_cast<void>(uapi::print(first.device->counters()));
  const std::string state = as_settings(uapi::print(first.device->state()));
  MV_ASSERT(second.set(state) == 0);
  MV_ASSERT(as_settings(uapi::print(second.device->state())) == state);
  return 0;
}
