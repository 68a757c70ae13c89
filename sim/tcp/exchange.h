// Exchange: requests and answers over one TCP connection, as much of HTTP as its sizes and times need.  One request at a time, and as
// many as wished, one after the other.
//
//   request   key 8 ‖ size of the body 8 ‖ size of the answer 8 (big endian) ‖ body        a download is a large answer, an upload a large body
//   answer    so many bytes
//
// Body and answer are patterns of the connection's key, so that a byte that is wrong, misplaced or another connection's is found and
// counted; a key is drawn at random for each connection.
#pragma once
#include "sim/tcp/endpoint.h"

namespace macrovpn::sim {

inline constexpr uint64_t kRequestHeader = 24;

class ExchangeClient final : public TcpContent {
 public:
  struct Request {
    uint64_t begin;         // in our stream
    uint64_t body, answer;  // sizes
    uint64_t answer_end;    // in the peer's stream
    Mono asked;
    Mono first_byte = kNever, done = kNever;
  };
  explicit ExchangeClient(uint64_t key) : key_(key) {}

  // Writes a request; the owner flushes.  May be called before the connection is open.
  void ask(Mono now, TcpEndpoint& tcp, uint64_t body, uint64_t answer);
  // No further request: the connection ends after the last answer.
  void end_after_last() { ends_ = true; }

  const std::vector<Request>& requests() const { return requests_; }
  bool is_idle() const { return requests_.empty() || requests_.back().done != kNever; }
  uint64_t answered() const { return received_; }  // bytes of answers, in order
  uint64_t acknowledged() const { return acknowledged_; }  // bytes of requests and bodies that the server's computer has
  uint64_t wrong() const { return wrong_; }
  Mono opened() const { return opened_; }
  TcpFailure failure() const { return failure_; }
  Mono last_progress() const { return last_progress_; }

  void fill(uint64_t offset, MutBytes out) override;
  void show(uint64_t offset, Bytes came) override;
  void changed(Mono now, TcpEndpoint& tcp) override;

 private:
  uint64_t key_;
  std::vector<Request> requests_;
  uint64_t received_ = 0, acknowledged_ = 0, wrong_ = 0;
  bool ends_ = false;
  Mono opened_ = kNever, last_progress_ = kNever;
  TcpFailure failure_ = TcpFailure::none;
};

// What the servers of a host did together; the host's owner keeps it.
struct ExchangeTotals {
  uint64_t requests = 0, body_bytes = 0, answer_bytes = 0, wrong = 0, refused = 0;
};

class ExchangeServer final : public TcpContent {
 public:
  // A request that asks for more, or brings more, ends the connection.
  static constexpr uint64_t kLargest = uint64_t{1} << 40;
  explicit ExchangeServer(ExchangeTotals& totals) : totals_(&totals) {}

  void fill(uint64_t offset, MutBytes out) override;
  void show(uint64_t offset, Bytes came) override;
  void changed(Mono now, TcpEndpoint& tcp) override;

 private:
  bool read_header(const TcpEndpoint& tcp);

  ExchangeTotals* totals_;
  uint64_t header_at_ = 0;
  ByteArray<kRequestHeader> header_{};
  bool has_header_ = false;
  uint64_t key_ = 0, body_ = 0, answer_ = 0;
  bool refused_ = false;
};

}  // namespace macrovpn::sim
