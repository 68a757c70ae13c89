#include "shell/exit/world_internet_test.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "core/routing/dns_message.h"
#include "shell/exit/socket_address.h"
#include "shell/fd_passing.h"

namespace macrovpn::shell::world {
namespace {

using namespace routing;

void run(std::function<void()> f) {
  std::thread(std::move(f)).detach();
}

Fd listener(int type, uint16_t port) {
  Fd fd(socket(AF_INET6, type | SOCK_CLOEXEC, 0));
  set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (type == SOCK_DGRAM) set_option(fd.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  const SocketAddress any({IpAddress::v6({}), port});
  MV_ASSERT(bind(fd.get(), any.data(), any.size) == 0);
  if (type == SOCK_STREAM) MV_ASSERT(listen(fd.get(), 1024) == 0);
  return fd;
}

void serve_tcp(uint16_t port, void (*serve)(Fd)) {
  run([port, serve, l = std::make_shared<Fd>(listener(SOCK_STREAM, port))] {
    for (;;) {
      Fd s(accept4(l->get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (s) run([serve, p = std::make_shared<Fd>(std::move(s))] { serve(std::move(*p)); });
    }
  });
}

// Answers from the address that was asked, as a service on many addresses must.
void serve_udp(uint16_t port, std::function<std::vector<uint8_t>(Bytes)> answer, bool twice) {
  run([port, answer = std::move(answer), twice, s = std::make_shared<Fd>(listener(SOCK_DGRAM, port))] {
    const Fd other = twice ? listener(SOCK_DGRAM, static_cast<uint16_t>(port + 1)) : Fd();
    std::vector<uint8_t> buffer(65536);
    for (;;) {
      SocketAddress peer;
      alignas(cmsghdr) char control[256];
      iovec io{buffer.data(), buffer.size()};
      msghdr m{peer.data(), peer.size, &io, 1, control, sizeof control, 0};
      const ssize_t n = recvmsg(s->get(), &m, 0);
      if (n < 0) continue;
      const std::vector<uint8_t> out = answer(Bytes(buffer).first(static_cast<size_t>(n)));
      io = {const_cast<uint8_t*>(out.data()), out.size()};
      if (!out.empty()) sendmsg(s->get(), &m, 0);  // with the packet information that came
      if (twice) sendmsg(other.get(), &m, 0);
    }
  });
}

void echo(Fd s) {
  char b[65536];
  for (ssize_t n; (n = read(s.get(), b, sizeof b)) > 0;)
    if (write(s.get(), b, static_cast<size_t>(n)) != n) return;
  shutdown(s.get(), SHUT_WR);
}

void download(Fd s) {
  const std::vector<char> b(1 << 20, 'd');
  for (int i = 0; i < 32; i++)
    for (size_t at = 0; at < b.size();) {
      const ssize_t n = write(s.get(), b.data() + at, b.size() - at);
      if (n <= 0) return;
      at += static_cast<size_t>(n);
    }
}

void reset(Fd s) {
  char c;
  if (read(s.get(), &c, 1) == 1) close_with_reset(s);
}

void answer_after_fin(Fd s) {
  char b[4096];
  size_t all = 0;
  for (ssize_t n; (n = read(s.get(), b, sizeof b)) > 0;) all += static_cast<size_t>(n);
  const std::string text = std::to_string(all);
  if (write(s.get(), text.data(), text.size()) < 0) return;
}

std::vector<uint8_t> address_bytes(const char* text) {
  const IpAddress a = *IpAddress::parse(text);
  return {a.bytes().begin(), a.bytes().end()};
}

// good.test: one global address of each family.  mixed.test: a global and private ones.  rebind.test: at
// first global, then private, TTL 0.  big.test: 60 addresses.  HEX.addr.test: the address of these bytes.
std::vector<uint8_t> answer_dns(Bytes query, size_t limit) {
  static std::atomic<int> rebinds{0};
  auto m = parse_dns(query);
  if (!m || !m->question) return {};
  m->is_response = m->recursion_available = true;
  m->edns_udp_size.reset();
  const DnsQuestion q = *m->question;
  const auto add = [&](const char* a, uint32_t ttl) {
    m->section(DnsSection::answer).push_back({q.name, q.type, 1, ttl, address_bytes(a)});
  };
  const bool v4 = q.type == kDnsA;
  if (q.name.ends_in("good.test")) {
    add(v4 ? "198.51.100.10" : "2001:db8:7::10", 60);
  } else if (q.name.ends_in("mixed.test")) {
    add(v4 ? "198.51.100.10" : "2001:db8:7::10", 60);
    add(v4 ? "192.168.1.1" : "::ffff:10.0.0.1", 60);
    add(v4 ? "127.0.0.1" : "fd00::1", 60);
  } else if (q.name.ends_in("rebind.test")) {
    add(rebinds++ == 0 ? "198.51.100.10" : "192.168.1.1", 0);
  } else if (q.name.ends_in("big.test")) {
    for (int i = 0; i < 120; i++) add(v4 ? "198.51.100.10" : "2001:db8:7::10", 60);
  } else if (q.name.ends_in("addr.test")) {
    if (const auto bytes = from_hex(q.name.label(0)); bytes && bytes->size() == (v4 ? 4u : 16u))
      m->section(DnsSection::answer).push_back({q.name, q.type, 1, 0, *bytes});
  } else {
    m->code = DnsCode::name_error;
  }
  return encode_dns(*m, limit);
}

void dns_over_tcp(Fd s) {
  for (;;) {
    uint8_t head[2];
    if (recv(s.get(), head, 2, MSG_WAITALL) != 2) return;
    std::vector<uint8_t> query(load_be16(head)), out;
    if (recv(s.get(), query.data(), query.size(), MSG_WAITALL) != static_cast<ssize_t>(query.size())) return;
    const auto answer = answer_dns(query, 65535);
    Writer(out).be16(static_cast<uint16_t>(answer.size())).bytes(answer);
    if (write(s.get(), out.data(), out.size()) < 0) return;
  }
}

}  // namespace

int run_internet(int channel) {
  const auto same = [](Bytes b) { return std::vector<uint8_t>(b.begin(), b.end()); };
  serve_tcp(7, echo);
  serve_tcp(9, download);
  serve_tcp(10, reset);
  serve_tcp(11, answer_after_fin);
  serve_tcp(25, echo);
  serve_tcp(53, dns_over_tcp);
  serve_udp(7, same, false);
  serve_udp(8, same, true);
  serve_udp(
      53, [](Bytes b) { return answer_dns(b, kDnsSafeUdp); }, false);
  if (!send_fds(channel, as_bytes("up"), {})) return 1;
  char c;
  return recv(channel, &c, 1, 0) == 0 ? 0 : 1;
}

}  // namespace macrovpn::shell::world
