// Link: datagrams through one TLS connection, as binary WebSocket frames, once both ends have agreed on that.
//
// It behaves as a link of a network does: what does not fit is lost, the oldest first, so that what runs inside (TCP, mostly) notices in
// time that it is too fast, and nothing waits long behind what is old.  The kernel holds little that was not sent (TCP_NOTSENT_LOWAT).
#pragma once
#include <deque>

#include "shell/tls/tls_stream.h"
#include "shell/websocket/frames.h"

namespace macrovpn::shell::https {

// For a socket that will carry a link.
void prepare_socket(int fd);

class Link {
 public:
  static constexpr size_t kMostQueued = 64 * 1024;  // bytes of datagrams
  static constexpr size_t kRecord = 16 * 1024;      // the most that TLS puts into one
  static constexpr int kRecordsPerTurn = 4;
  static constexpr size_t kMostControls = 4;  // answers to pings that wait

  enum class State : uint8_t { open, ended };

  // The pool and rng outlive it.
  Link(websocket::Role ours, tls::Stream stream, PacketPool& pool, Rng& rng);

  int fd() const { return stream_.fd(); }
  // What came with the other side's last bytes of HTTP.
  State take_early(Bytes bytes, std::vector<Packet>& datagrams);
  // When the socket is readable: appends datagrams.
  State read(std::vector<Packet>& datagrams);
  void queue(Packet&& datagram);
  // Sends what is queued, unless the socket is not ready for it; then again when it is writable (may_write).
  State send();
  State on_writable();
  bool wants_write() const { return waits_; }
  void close() { stream_.close(); }

  uint64_t lost() const { return lost_; }
  size_t queued() const { return queued_bytes_; }

 private:
  bool fill();
  State on_message(websocket::Message& m, std::vector<Packet>& datagrams);

  websocket::Role ours_;
  tls::Stream stream_;
  PacketPool& pool_;
  Rng& rng_;
  websocket::FrameReader reader_;
  std::vector<websocket::Message> messages_;
  std::deque<Packet> queue_;
  std::vector<std::vector<uint8_t>> controls_;  // whole frames, which go first
  std::vector<uint8_t> out_;                    // frames that TLS has begun to take
  size_t written_ = 0, queued_bytes_ = 0;
  uint64_t lost_ = 0;
  bool waits_ = false;
};

}  // namespace macrovpn::shell::https
