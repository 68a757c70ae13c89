#include "tap.h"

#include <linux/filter.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <atomic>

namespace netlab {
namespace {

void keep_only(const Descriptor& socket, std::uint32_t bytes, const std::string& interface) {
  sock_filter code{BPF_RET | BPF_K, 0, 0, bytes};
  const sock_fprog program{1, &code};
  if (setsockopt(socket.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
    fail("cannot attach the length filter", interface);
}

Descriptor open_with_ring(const std::string& interface, Tap::Options options, std::size_t blocks) {
  Descriptor socket = open_packet_socket(interface);
  const int version = TPACKET_V3;
  set_option(socket, PACKET_VERSION, &version, sizeof version, interface);
  tpacket_req3 request{};
  request.tp_block_size = Tap::kBlockBytes;
  request.tp_block_nr = static_cast<unsigned>(blocks);
  request.tp_frame_size = TPACKET_ALIGNMENT << 7U;
  request.tp_frame_nr = static_cast<unsigned>(blocks * Tap::kBlockBytes / request.tp_frame_size);
  request.tp_retire_blk_tov = Tap::kHandoverMilliseconds;
  set_option(socket, PACKET_RX_RING, &request, sizeof request, interface);
  keep_only(socket, options.snap_length, interface);
  return socket;
}

}  // namespace

Tap::Tap(const std::string& interface, const std::string& path, Options options)
    : interface_(interface),
      blocks_((std::size_t{options.ring_mib} << 20U) / kBlockBytes),
      socket_(open_with_ring(interface, options, blocks_)),
      ring_(socket_, blocks_ * kBlockBytes, interface),
      file_(path, options.snap_length) {
  bind_to(socket_, interface);
}

void Tap::drain() {
  for (std::size_t turn = 0; turn < blocks_; ++turn) {
    std::uint8_t* block = ring_.at(next_block_ * kBlockBytes);
    std::atomic_ref<__u32> status(reinterpret_cast<tpacket_block_desc*>(block)->hdr.bh1.block_status);
    if ((status.load(std::memory_order_acquire) & TP_STATUS_USER) == 0) break;
    write_block(block);
    status.store(TP_STATUS_KERNEL, std::memory_order_release);
    next_block_ = (next_block_ + 1) % blocks_;
  }
  forget_error(socket_);
  file_.flush();
}

void Tap::write_block(std::uint8_t* block) {
  const auto& header = reinterpret_cast<tpacket_block_desc*>(block)->hdr.bh1;
  std::uint8_t* at = block + header.offset_to_first_pkt;
  for (__u32 i = 0; i < header.num_pkts; ++i) {
    const auto* frame = reinterpret_cast<const tpacket3_hdr*>(at);
    file_.write({frame->tp_sec, frame->tp_nsec}, {at + frame->tp_mac, frame->tp_snaplen}, frame->tp_len);
    ++frames_;
    at += frame->tp_next_offset;
  }
}

Tap::Totals Tap::totals() {
  tpacket_stats_v3 stats{};
  socklen_t size = sizeof stats;
  if (getsockopt(socket_.get(), SOL_PACKET, PACKET_STATISTICS, &stats, &size) != 0) fail("cannot read drops", interface_);
  drops_ += stats.tp_drops;  // reading resets the kernel's count
  return {frames_, drops_};
}

}  // namespace netlab
