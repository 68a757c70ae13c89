// TcpEndpoint: one end of a TCP connection that speaks in IP packets.  Fed with packets and deadlines, it gives packets to a sink.
//
//   closed ── connect() ──> opening ──> open ──> over        over: both directions have ended and their ends are acknowledged (or a reset,
//          ── accept()  ──> opening ──> open ──> over        a refusal, too many timeouts: failed()), and some time went by
//
// No byte of the stream is held.  What stands in it follows from its offset: the TcpContent of our side writes it whenever a segment is
// sent, again too, and is shown what came from the peer, once or more often and in any order.
//
// The connection follows RFC 9293, with sender.h and receiver.h.  Left out: simultaneous open, urgent data, keepalive, path MTU discovery
// but by ICMP (RFC 1191, 8201), and states beyond what the ends need: TIME-WAIT lasts `linger` for both sides.
#pragma once
#include <memory>

#include "sim/tcp/receiver.h"
#include "sim/tcp/segment.h"
#include "sim/tcp/sender.h"

namespace macrovpn::sim {

class TcpEndpoint;

class PacketSink {
 public:
  virtual ~PacketSink() = default;
  // An IP packet; the bytes are gone after the call.
  virtual void send(Bytes packet) = 0;
};

class TcpContent {
 public:
  virtual ~TcpContent() = default;
  virtual void fill(uint64_t offset, MutBytes out) = 0;
  virtual void show(uint64_t offset, Bytes came) = 0;
  // Anything changed: it opened, more came in order, the peer ended, it failed.  May write() and close().
  virtual void changed(Mono now, TcpEndpoint& tcp) = 0;
};

// A stream of bytes that tell their place, so that a wrong or misplaced one is found.
void fill_pattern(uint64_t stream, uint64_t offset, MutBytes out);
size_t wrong_bytes(uint64_t stream, uint64_t offset, Bytes came);

struct TcpConfig {
  SenderConfig sender;
  ReceiverConfig receiver;
  uint16_t mtu = 1500;              // of the host's own link
  unsigned most_syns = 6;
  Duration linger = std::chrono::seconds(10);
};

enum class TcpState : uint8_t { closed, opening, open, over };
enum class TcpFailure : uint8_t { none, refused, reset, unreachable, timed_out };
const char* to_string(TcpFailure);

class TcpEndpoint {
 public:
  // `content` outlives the endpoint.  Initial numbers should be drawn at random.
  TcpEndpoint(const TcpConfig& config, const Endpoint& local, const Endpoint& remote, uint32_t initial_sequence, TcpContent& content);

  void connect(Mono now, PacketSink& out);
  void accept(Mono now, const TcpSegment& syn, PacketSink& out);
  void on_segment(Mono now, const TcpSegment& segment, PacketSink& out);
  void on_too_big(Mono now, uint16_t mtu, PacketSink& out);  // ICMP about a packet of ours
  void on_unreachable(Mono now);                             // ICMP; counts only while opening
  void on_deadline(Mono now, PacketSink& out);
  Mono next_deadline() const;

  // More of our stream is there to be sent; it goes with flush(), or with the next packet or deadline.
  void write(uint64_t bytes) { sender_.write(bytes); }
  void close() { sender_.finish(); }  // after all that was written
  void abort(PacketSink& out);
  void flush(Mono now, PacketSink& out);

  TcpState state() const { return state_; }
  // It will never send again: whoever owns it may throw it away.
  bool is_gone() const { return gone_ || failure_ != TcpFailure::none; }
  TcpFailure failure() const { return failure_; }
  const Endpoint& local() const { return local_; }
  const Endpoint& remote() const { return remote_; }
  uint64_t received() const { return received_; }  // in order, without the FIN
  bool peer_ended() const { return peer_end_ && receiver_.in_order() > *peer_end_; }
  uint64_t acknowledged() const { return std::min(sender_.acknowledged(), sender_.written()); }
  const Sender& sender() const { return sender_; }
  const Receiver& receiver() const { return receiver_; }
  void check_invariants() const;

 private:
  uint32_t wire(uint64_t offset) const { return initial_ + 1 + static_cast<uint32_t>(offset); }
  std::optional<uint64_t> our_offset(uint32_t wire) const;
  std::optional<uint64_t> peer_offset(uint32_t wire) const;
  uint16_t window_field() const;
  void take_options(const TcpSegment& syn);
  void open(Mono now, const TcpSegment& segment);
  void on_opening(Mono now, const TcpSegment& segment, PacketSink& out);
  void take_ack(Mono now, const TcpSegment& segment);
  void take_data(Mono now, const TcpSegment& segment);
  void send_syn(Mono now, PacketSink& out);
  void send_pieces(Mono now, PacketSink& out);
  void send_piece(const ByteRange& piece, PacketSink& out);
  void send_ack(PacketSink& out);
  TcpSegment blank() const;
  void fail(TcpFailure why);
  void end_if_done(Mono now);

  TcpConfig config_;
  Endpoint local_, remote_;
  TcpContent* content_;
  uint32_t initial_, peer_initial_ = 0;
  TcpState state_ = TcpState::closed;
  TcpFailure failure_ = TcpFailure::none;
  bool accepted_ = false;  // we were called
  bool peer_sacks_ = false;
  bool gone_ = false;
  uint8_t our_scale_ = 0, peer_scale_ = 0;
  uint16_t peer_mss_ = 536;
  unsigned syns_ = 0;
  Mono syn_sent_ = kLongAgo, syn_deadline_ = kNever, over_at_ = kNever;
  uint64_t received_ = 0;
  std::optional<uint64_t> peer_end_;  // offset of the peer's FIN
  Sender sender_;
  Receiver receiver_;
};

}  // namespace macrovpn::sim
