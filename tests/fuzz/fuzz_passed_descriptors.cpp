// Messages between our processes, with descriptors: any body, any number and kind of descriptors, read as a helper's
// report and as a packet device.  What is taken is what was sent, and closes with its owner; nothing is left open.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cstring>

#include "shell/namespace.h"
#include "shell/packet_device.h"

namespace macrovpn::shell {
namespace {

constexpr size_t kMostSent = kMaxPassedFds + 4;

Fd some_descriptor(uint8_t kind) {
  switch (kind % 4) {
    case 0:
      return Fd(memfd_create("fuzz", 0));
    case 1:
      return Fd(open("/dev/null", O_RDWR));
    case 2:
      return Fd(socket(AF_UNIX, SOCK_DGRAM, 0));
    default:
      return Fd(eventfd(0, 0));
  }
}

bool send_raw(int socket, Bytes body, std::span<const int> fds) {
  iovec io{const_cast<uint8_t*>(body.data()), body.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMostSent * sizeof(int))]{};
  msghdr m{};
  m.msg_iov = &io;
  m.msg_iovlen = 1;
  if (!fds.empty()) {
    m.msg_control = control;
    m.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(h), fds.data(), fds.size_bytes());
  }
  return sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

void check_message(const Result<FdMessage>& m, Bytes body, size_t fds) {
  const bool fits = fds <= kMaxPassedFds && body.size() <= kMaxPassedBody && !body.empty();
  MV_ASSERT(m.ok() == fits);
  if (!fits) return;
  MV_ASSERT(equal(m->body, body) && m->fds.size() == fds);
  for (const Fd& fd : m->fds) MV_ASSERT((fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

void receive(int socket, uint8_t how, Bytes body, size_t fds) {
  switch (how % 4) {
    case 0:
      return check_message(recv_fds(socket), body, fds);
    case 1:
      MV_ASSERT(recv_fd(socket).ok() ==
                (fds == 1 && !body.empty() && body.size() <= kMaxPassedBody));
      return;
    case 2: {
      const auto report = await_report(socket);
      if (!report.ok()) return MV_ASSERT(!report.error().message.empty() || (body.size() == 1 && body[0] == 'E'));
      return MV_ASSERT(equal(report->body, body.subspan(1)));
    }
    default: {
      auto m = recv_fds(socket);
      if (!m.ok() || m->fds.empty()) return;
      MV_ASSERT(!PacketDevice::decode(std::move(m->fds[0]), m->body).ok());  // none of ours is a device
    }
  }
}

void run(Reader script) {
  auto channel = make_fd_channel();
  MV_ASSERT(channel.ok());
  for (int i = 0; i < 8 && script.left() > 0; i++) {
    const uint8_t how = script.u8(), count = script.u8();
    const size_t size = std::min<size_t>(script.le16() % (kMaxPassedBody + 64), script.left());
    const Bytes body = script.take(size);
    std::vector<Fd> sent;
    std::vector<int> numbers;
    for (size_t n = 0; n < count % (kMostSent + 1); n++) {
      sent.push_back(some_descriptor(static_cast<uint8_t>(count / 32 + n)));
      numbers.push_back(sent.back().get());
    }
    if (send_raw(channel->a.get(), body, numbers)) receive(channel->b.get(), how, body, numbers.size());
  }
}

int lowest_free() {
  const Fd probe(open("/dev/null", O_RDONLY | O_CLOEXEC));
  return probe.get();
}

}  // namespace
}  // namespace macrovpn::shell

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace macrovpn::shell;
  const int before = lowest_free();
  run(macrovpn::Reader({data, size}));
  MV_ASSERT(lowest_free() == before);
  return 0;
}
