// An exit's name service with real sockets: a client on a TCP connection that is cut anywhere, and a name server that
// answers what it likes, by UDP and by TCP.  The client only ever gets whole answers, at most one for each question.
#include <sys/socket.h>

#include "core/routing/dns_message.h"
#include "core/routing/dns_stream.h"
#include "shell/exit/dns_service.h"
#include "shell/exit/socket_address.h"
#include "shell/namespace.h"

namespace macrovpn::shell {
namespace {

constexpr LeaseNumber kLease{3};
constexpr size_t kLeastQuestion = 2 + 12;  // a header alone, behind its length

// The name server's sockets, one UDP and one TCP port with the same number, in a network namespace of this process.
struct NameServer {
  NameServer() {
    if (!enter_namespaces(Mounts::inherited).ok()) return;  // then nobody answers
    const SocketAddress any({*IpAddress::parse("127.0.0.1"), 0});
    udp = open_socket(AF_INET, SOCK_DGRAM);
    tcp = open_socket(AF_INET, SOCK_STREAM);
    if (bind(udp.get(), any.data(), any.size) != 0) return;
    at = *local_of(udp.get());
    const SocketAddress same(at);
    MV_ASSERT(bind(tcp.get(), same.data(), same.size) == 0 && listen(tcp.get(), 16) == 0);
  }
  Fd udp, tcp;
  Endpoint at{*IpAddress::parse("127.0.0.1"), 53};
};

NameServer& name_server() {
  static NameServer server;
  return server;
}

class World {
 public:
  explicit World(Bytes script) : script_(script) { connect(); }
  ~World() {
    for (Fd& s : accepted_) close_with_reset(s);
    service_.forget(kLease);
    MV_ASSERT(service_.resolver().flights() == 0);
    drain();
  }

  void run() {
    for (int i = 0; i < 60 && script_.left() > 0; i++) {
      step();
      for (int n = 0; n < 3; n++) reactor_.run_once(Duration::zero());
      service_.resolver().check_invariants();
      read_answers();
    }
  }

 private:
  void connect() {
    int ends[2];
    MV_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    client_ = Fd(ends[0]);
    received_.clear();
    service_.adopt(kLease, Fd(ends[1]));
  }
  void tell(Bytes b) {
    told_ += b.size();
    static_cast<void>(send(client_.get(), b.data(), b.size(), MSG_NOSIGNAL));
  }
  Bytes some() { return script_.take(std::min<size_t>(script_.left(), script_.u8())); }

  void ask(uint8_t which) {
    routing::DnsMessage m;
    m.id = which;
    const std::string name(1 + which % 3, static_cast<char>('a' + which % 7));
    m.question = {*routing::DnsName::parse(name + ".example.org"), which % 2 == 0 ? routing::kDnsA : routing::kDnsTxt};
    const auto framed = routing::frame_dns(routing::encode_dns(m, 65535));
    // In two pieces, wherever the script cuts.
    const size_t cut = script_.u8() % framed.size();
    tell(Bytes(framed).first(cut));
    reactor_.run_once(Duration::zero());
    tell(Bytes(framed).subspan(cut));
  }
  void read_answers() {
    uint8_t buffer[65536];
    for (ssize_t n; (n = recv(client_.get(), buffer, sizeof buffer, MSG_DONTWAIT)) > 0;)
      received_.insert(received_.end(), buffer, buffer + n);
    while (const auto m = routing::first_framed_dns(received_)) {
      const auto parsed = routing::parse_dns(*m);
      MV_ASSERT(parsed.ok() && parsed->is_response);
      received_.erase(received_.begin(), received_.begin() + static_cast<ptrdiff_t>(2 + m->size()));
      MV_ASSERT(++answers_ <= told_ / kLeastQuestion);
    }
  }

  // What was asked by UDP last, made into an answer of some kind.
  void answer_udp(uint8_t how) {
    uint8_t buffer[2048];
    SocketAddress from;
    const ssize_t n = recvfrom(name_server().udp.get(), buffer, sizeof buffer, MSG_DONTWAIT, from.data(), &from.size);
    if (n < 12) return;
    const auto message = answer(Bytes(buffer, static_cast<size_t>(n)), how);
    static_cast<void>(
        sendto(name_server().udp.get(), message.data(), message.size(), MSG_NOSIGNAL, from.data(), from.size));
  }
  std::vector<uint8_t> answer(Bytes question, uint8_t how) {
    std::vector<uint8_t> out(question.begin(), question.end());
    out[2] |= 0x80;
    if ((how & 1) != 0) out[2] |= 2;  // truncated: ask by TCP
    if ((how & 2) != 0) out[3] = static_cast<uint8_t>(out[3] | how >> 4);
    if ((how & 4) != 0) {
      const Bytes more = some();
      out.insert(out.end(), more.begin(), more.end());
      if (!more.empty()) out[7] = static_cast<uint8_t>(out[7] + 1);  // an answer record, perhaps
    }
    if ((how & 8) != 0) out[script_.u8() % out.size()] ^= static_cast<uint8_t>(how | 1);
    return out;
  }
  void accept_tcp() {
    Fd s(accept4(name_server().tcp.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (s) accepted_.push_back(std::move(s));
  }
  void answer_tcp(uint8_t how) {
    accept_tcp();
    if (accepted_.empty()) return;
    Fd& s = accepted_[how / 16 % accepted_.size()];
    uint8_t buffer[2048];
    const ssize_t n = recv(s.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    std::vector<uint8_t> out;
    if (const auto q = n > 14 ? routing::first_framed_dns({buffer, static_cast<size_t>(n)}) : std::nullopt;
        q && q->size() >= 12 && (how & 1) == 0) {
      out = routing::frame_dns(answer(*q, static_cast<uint8_t>(how & ~1)));
    } else {
      const Bytes raw = some();
      out.assign(raw.begin(), raw.end());
    }
    static_cast<void>(send(s.get(), out.data(), out.size(), MSG_NOSIGNAL));
    if ((how & 8) == 0) return;
    close_with_reset(s);
    accepted_.erase(accepted_.begin() + (&s - accepted_.data()));
  }
  // What is left over for the next input.
  void drain() {
    uint8_t sink[2048];
    while (recv(name_server().udp.get(), sink, sizeof sink, MSG_DONTWAIT) >= 0) {
    }
    for (;;) {
      Fd s(accept4(name_server().tcp.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!s) return;
      close_with_reset(s);
    }
  }

  void step() {
    const uint8_t op = script_.u8();
    switch (op % 8) {
      case 0:
        return tell(some());
      case 1:
      case 2:
        return ask(op / 8);
      case 3:
      case 4:
        return answer_udp(script_.u8());
      case 5:
        return answer_tcp(script_.u8());
      case 6:
        if (op / 8 % 4 == 0) service_.forget(kLease);
        if (op / 8 % 4 == 1) return connect();
        if (op / 8 % 4 == 2) shutdown(client_.get(), SHUT_WR);
        return;
      default: {
        // By UDP from the same lease: its answer leaves as packets.
        routing::DnsMessage m;
        m.question = {*routing::DnsName::parse("b.example.org"), routing::kDnsA};
        const auto b = routing::encode_dns(m, 512);
        service_.query(kLease, {*IpAddress::parse("10.64.0.3"), 7}, {*IpAddress::parse("10.10.0.1"), 53}, b);
      }
    }
  }

  Reader script_;
  Reactor reactor_;
  SeededRng rng_{1};
  PacketPool pool_;
  ExitConfig config_ = [] {
    ExitConfig c;
    c.dns_upstreams = {name_server().at};
    return c;
  }();
  routing::ExitPolicy policy_{{}, [](const Endpoint&) { return false; }};
  ExitCounters counters_;
  PacketOutput out_{reactor_, pool_, [](std::span<Packet>) {}};
  std::unordered_map<LeaseNumber, uint16_t> mtus_;
  ExitContext context_{reactor_, config_, policy_, counters_, out_, mtus_};
  DnsService service_{context_, rng_};
  Fd client_;
  std::vector<Fd> accepted_;
  std::vector<uint8_t> received_;
  size_t answers_ = 0, told_ = 0;
};

}  // namespace
}  // namespace macrovpn::shell

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  static_cast<void>(macrovpn::shell::name_server());
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0) macrovpn::shell::World({data, size}).run();
  return 0;
}
