// SOCKS5 messages: a reader never uses more than there is, says the same of a message however much follows
// it, and never turns back once it said that a message is whole or bad.
#include "shell/proxy/socks_message.h"

namespace macrovpn::shell {
namespace {

template <class F>
void check(Bytes input, F read) {
  const auto whole = read(input);
  MV_ASSERT(whole.used <= input.size());
  Parse before = Parse::more;
  for (size_t n = 0; n <= input.size() && n <= kMaxSocksMessage + 4; n++) {
    const auto part = read(input.first(n));
    MV_ASSERT(part.used <= n);
    MV_ASSERT(before == Parse::more || part.parse == before);
    before = part.parse;
  }
  MV_ASSERT(input.size() <= kMaxSocksMessage || whole.parse != Parse::more);
}

void check_target(const Target& t) {
  MV_ASSERT(t.address.has_value() == t.name.empty());
  MV_ASSERT(t.name.size() <= 255 && t.name.find('\0') == std::string::npos);
}

}  // namespace
}  // namespace macrovpn::shell

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace macrovpn::shell;
  const macrovpn::Bytes input(data, size);
  check(input, read_socks_greeting);
  check(input, read_socks_credentials);
  check(input, read_socks_request);
  if (const auto r = read_socks_request(input); r.parse == Parse::done && r.command == SocksCommand::connect)
    check_target(r.target);
  if (const auto d = read_socks_datagram(input)) {
    MV_ASSERT(d->header <= size && d->target.port != 0);
    check_target(d->target);
    if (!d->target.address) return 0;
    std::vector<uint8_t> again;
    write_socks_datagram_header({*d->target.address, d->target.port}, again);
    const auto read = read_socks_datagram(again);
    MV_ASSERT(read && read->target == d->target);
  }
  return 0;
}
