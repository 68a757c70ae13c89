#include "shell/proxy/socks_message.h"

namespace macrovpn::shell {
namespace {

constexpr uint8_t kVersion = 5, kAuthVersion = 1;
constexpr uint8_t kOpen = 0, kPassword = 2;
constexpr uint8_t kV4 = 1, kName = 3, kV6 = 4;

struct Host {
  Parse parse = Parse::more;
  SocksCode refusal = SocksCode::general_failure;
  Target target;
};

// A host and its port.
Host read_host(Reader& r) {
  Host out;
  const uint8_t type = r.u8();
  if (!r.ok()) return out;
  if (type == kV4) {
    const auto b = r.fixed<4>();
    out.target = make_target(IpAddress::v4(b), r.be16());
  } else if (type == kV6) {
    const auto b = r.fixed<16>();
    out.target = make_target(IpAddress::v6(b), r.be16());
  } else if (type == kName) {
    const Bytes text = r.take(r.u8());
    const uint16_t port = r.be16();
    if (!r.ok()) return out;
    const auto target = make_target({reinterpret_cast<const char*>(text.data()), text.size()}, port);
    if (!target) return {Parse::bad, SocksCode::host_unreachable, {}};
    out.target = *target;
  } else {
    return {Parse::bad, SocksCode::address_type_not_supported, {}};
  }
  if (r.ok()) out.parse = Parse::done;
  return out;
}

void write_host(const Endpoint& e, std::vector<uint8_t>& out) {
  Writer(out).u8(e.address.is_v4() ? kV4 : kV6).bytes(e.address.bytes()).be16(e.port);
}

}  // namespace

SocksGreeting read_socks_greeting(Bytes in) {
  SocksGreeting out;
  if (!in.empty() && in[0] != kVersion) out.parse = Parse::bad;
  if (in.size() < 2 || in.size() < 2u + in[1] || out.parse == Parse::bad) return out;
  for (const uint8_t method : in.subspan(2, in[1])) {
    out.open |= method == kOpen;
    out.password |= method == kPassword;
  }
  out.parse = Parse::done;
  out.used = 2u + in[1];
  return out;
}

SocksCredentials read_socks_credentials(Bytes in) {
  SocksCredentials out;
  if (!in.empty() && in[0] != kAuthVersion) out.parse = Parse::bad;
  if (in.empty() || out.parse == Parse::bad) return out;
  Reader r(in.subspan(1));
  const Bytes user = r.take(r.u8());
  static_cast<void>(r.take(r.u8()));
  if (!r.ok()) return out;
  out.user.assign(user.begin(), user.end());
  out.parse = Parse::done;
  out.used = in.size() - r.left();
  return out;
}

SocksRequest read_socks_request(Bytes in) {
  SocksRequest out;
  if (!in.empty() && in[0] != kVersion) out.parse = Parse::bad;
  if (in.size() < 4 || out.parse == Parse::bad) return out;
  Reader r(in.subspan(3));
  const Host host = read_host(r);
  if (host.parse == Parse::more) return out;
  out.parse = host.parse;
  out.target = host.target;
  out.refusal = host.refusal;
  out.used = in.size() - r.left();
  out.command = static_cast<SocksCommand>(in[1]);
  if (out.command != SocksCommand::connect && out.command != SocksCommand::udp_associate) {
    out.parse = Parse::bad;
    out.refusal = SocksCode::command_not_supported;
  } else if (out.command == SocksCommand::udp_associate &&
             host.refusal != SocksCode::address_type_not_supported) {
    out.parse = Parse::done;  // a name that means nothing does no harm here
  } else if (out.parse == Parse::done && out.target.port == 0) {
    out.parse = Parse::bad;
    out.refusal = SocksCode::general_failure;
  }
  return out;
}

std::optional<SocksDatagram> read_socks_datagram(Bytes in) {
  if (in.size() < 4 || in[2] != 0) return std::nullopt;
  Reader r(in.subspan(3));
  const Host host = read_host(r);
  if (host.parse != Parse::done || host.target.port == 0) return std::nullopt;
  return SocksDatagram{host.target, in.size() - r.left()};
}

std::vector<uint8_t> socks_reply(SocksCode code, const Endpoint& bound) {
  std::vector<uint8_t> out{kVersion, static_cast<uint8_t>(code), 0};
  write_host(bound, out);
  return out;
}

void write_socks_datagram_header(const Endpoint& from, std::vector<uint8_t>& out) {
  Writer(out).zeros(3);
  write_host(from, out);
}

}  // namespace macrovpn::shell
