// What the computer, a helper and a relay say of the network we are in: the kernel's tables of routes and neighbours, the UPnP helper's line, the file that
// remembers where HTTPS was needed, an answer to the probe of UDP.  The first byte picks.
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "shell/https/network_memory.h"
#include "shell/https/udp_probe.h"
#include "shell/nat/default_router.h"
#include "shell/nat/upnp_job.h"

using namespace macrovpn;
using namespace macrovpn::shell;

namespace {

void check_routes(std::string_view text) {
  const size_t cut = std::min(text.find('\0'), text.size());
  static_cast<void>(gateway_in(std::string(text.substr(0, cut))));
  const auto name = https::network_name_from(text.substr(0, cut), text.substr(std::min(cut + 1, text.size())));
  if (name) MV_ASSERT(!name->empty() && text.find(*name) != std::string_view::npos);
}

void check_helper(std::string_view text) {
  const auto told = parse_upnp_line(std::string(text));
  if (told.what == discovery::UpnpTold::What::added) MV_ASSERT(told.outside_port != 0 && (!told.outside || !told.outside->is_unspecified()));
}

void check_memory(Bytes data) {
  static const std::string folder = [] {
    std::string name = "/dev/shm/fuzz-home-XXXXXX";
    MV_ASSERT(mkdtemp(name.data()) != nullptr);
    return name;
  }();
  const std::string file = folder + "/transports";
  std::ofstream(file, std::ios::binary | std::ios::trunc).write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
  chmod(file.c_str(), 0600);
  SeededRng rng(1);
  const Wall now = wall_from_unix(1'790'000'000);
  https::NetworkMemory memory(file, rng);
  MV_ASSERT(!memory.needs_https("aa:bb", now + 2 * https::NetworkMemory::kKept) || data.size() > 40);
  memory.note("aa:bb", true, now);
  MV_ASSERT(memory.needs_https("aa:bb", now) && https::NetworkMemory(file, rng).needs_https("aa:bb", now));
  memory.note("aa:bb", false, now);
  MV_ASSERT(!memory.needs_https("aa:bb", now));
}

// Under the mask, and with the header that an answer has: all but the id, which nobody else knows.
void check_probe(Bytes data) {
  SeededRng rng(2);
  PacketPool pool;
  const NetworkId network{{1}};
  const PublicKey relay{{2}};
  https::UdpProbe probe(network, relay);
  MV_ASSERT(!probe.is_answer(data));
  static_cast<void>(probe.ask(pool, rng));
  MV_ASSERT(!probe.is_answer(data));
  std::vector<uint8_t> d{1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};
  d.insert(d.end(), data.begin(), data.end());
  if (d.size() < 32) d.resize(32);
  encryption::MaskKey(network.bytes, relay).mask_handshake(d);
  MV_ASSERT(!probe.is_answer(d));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes rest(data + 1, size - 1);
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 4) {
    case 0:
      check_routes(text);
      break;
    case 1:
      check_helper(text);
      break;
    case 2:
      check_memory(rest);
      break;
    default:
      check_probe(rest);
  }
  return 0;
}
