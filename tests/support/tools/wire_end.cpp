#include "wire_end.h"

#include <linux/if_packet.h>
#include <sys/socket.h>

#include <array>
#include <atomic>

namespace netlab {
namespace {

Descriptor open_with_ring(const std::string& interface) {
  Descriptor socket = open_packet_socket(interface);
  const int version = TPACKET_V2;
  set_option(socket, PACKET_VERSION, &version, sizeof version, interface);
  const int yes = 1;
  // Without it we would read back what we write, and the two ends would feed each other for ever.
  set_option(socket, PACKET_IGNORE_OUTGOING, &yes, sizeof yes, interface);
  // PACKET_QDISC_BYPASS would be a little faster, but frames sent that way are invisible to captures on this interface.
  tpacket_req request{};
  request.tp_block_size = 1U << 16U;
  request.tp_frame_size = WireEnd::kSlotBytes;
  request.tp_frame_nr = WireEnd::kSlots;
  request.tp_block_nr = WireEnd::kSlots * WireEnd::kSlotBytes / request.tp_block_size;
  set_option(socket, PACKET_RX_RING, &request, sizeof request, interface);
  return socket;
}

}  // namespace

WireEnd::WireEnd(const std::string& interface)
    : interface_(interface),
      socket_(open_with_ring(interface)),
      ring_(socket_, kSlots * kSlotBytes, interface) {
  bind_to(socket_, interface);
}

void WireEnd::receive_into(Wire& wire, Instant now) {
  for (std::size_t seen = 0; seen < kSlots; ++seen) {
    auto* header = reinterpret_cast<tpacket2_hdr*>(ring_.at(next_slot_ * kSlotBytes));
    std::atomic_ref<__u32> status(header->tp_status);
    if ((status.load(std::memory_order_acquire) & TP_STATUS_USER) == 0) break;
    if (header->tp_len > header->tp_snaplen) ++oversized_;
    else wire.accept({reinterpret_cast<std::uint8_t*>(header) + header->tp_mac, header->tp_snaplen}, now);
    status.store(TP_STATUS_KERNEL, std::memory_order_release);
    next_slot_ = (next_slot_ + 1) % kSlots;
  }
  forget_error(socket_);
}

void WireEnd::send_from(Wire& wire, Instant now) {
  constexpr std::size_t kBatch = 64;
  std::array<iovec, kBatch> pieces{};
  std::array<mmsghdr, kBatch> messages{};
  for (;;) {
    std::size_t count = 0;
    for (; count < kBatch; ++count) {
      const auto frame = wire.due(now, count);
      if (!frame) break;
      pieces[count] = {const_cast<std::uint8_t*>(frame->data()), frame->size()};
      messages[count].msg_hdr.msg_iov = &pieces[count];
      messages[count].msg_hdr.msg_iovlen = 1;
    }
    if (count == 0) return;
    const int sent = sendmmsg(socket_.get(), messages.data(), static_cast<unsigned>(count), MSG_DONTWAIT);
    if (sent > 0) {
      wire.pop(static_cast<std::size_t>(sent));
    } else {  // the far end takes no more, or is down: this frame is lost, as on a real line
      ++not_sent_;
      wire.pop(1);
    }
  }
}

std::uint64_t WireEnd::dropped_by_kernel() {
  tpacket_stats stats{};
  socklen_t size = sizeof stats;
  if (getsockopt(socket_.get(), SOL_PACKET, PACKET_STATISTICS, &stats, &size) != 0) fail("cannot read drops", interface_);
  kernel_drops_ += stats.tp_drops;  // reading resets the kernel's count
  return kernel_drops_;
}

}  // namespace netlab
