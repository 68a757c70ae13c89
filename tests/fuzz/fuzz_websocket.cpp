// The upgrade and the frames of WebSocket: whatever comes, what is read is bounded, and does not depend on the pieces it came in.
#include "shell/websocket/frames.h"
#include "shell/websocket/upgrade.h"

namespace macrovpn::shell::websocket {
namespace {

void check_heads(Bytes input) {
  const Head head = read_head(input);
  MV_ASSERT(head.used <= kMaxHead && head.used <= input.size() && head.fields.size() <= kMaxFields);
  if (head.parse == Head::Parse::more) MV_ASSERT(input.size() < kMaxHead);
  if (head.parse == Head::Parse::done) MV_ASSERT(read_head(input.first(head.used)).parse == Head::Parse::done);
  const auto key = read_request(head);
  if (!key) return static_cast<void>(is_answer(head, Key{}));
  MV_ASSERT(head.parse == Head::Parse::done);
  MV_ASSERT(is_answer(read_head(as_bytes(write_answer(*key))), *key));
}

void check_frames(Role from, size_t piece, Bytes input) {
  PacketPool pool;
  std::vector<Message> whole, parts;
  FrameReader one(from, pool), other(from, pool);
  const auto broken = one.read(input, whole);
  std::optional<Broken> other_broken;
  for (Bytes left = input; !left.empty(); left = left.subspan(std::min(piece, left.size())))
    other_broken = other.read(left.first(std::min(piece, left.size())), parts);
  MV_ASSERT(broken == other_broken && whole.size() == parts.size());
  for (size_t i = 0; i < whole.size(); i++) {
    const Message &a = whole[i], &b = parts[i];
    MV_ASSERT(a.kind == b.kind && equal(a.payload.bytes(), b.payload.bytes()));
    MV_ASSERT(a.payload.size() <= (a.kind == Kind::datagram ? kPacketMax : 125));
  }
  MV_ASSERT(pool.slots() <= whole.size() + parts.size() + 4);  // nothing else is kept
}

}  // namespace
}  // namespace macrovpn::shell::websocket

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace macrovpn::shell::websocket;
  if (size < 2) return 0;
  const macrovpn::Bytes input(data + 2, size - 2);
  if ((data[0] & 1) == 0) {
    check_heads(input);
  } else {
    check_frames((data[0] & 2) == 0 ? Role::client : Role::server, size_t{1} + data[1] % 32, input);
  }
  return 0;
}
