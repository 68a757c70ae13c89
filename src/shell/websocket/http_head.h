// The head of an HTTP/1.1 message, request or response (RFC 9112): a first line and fields.
//
// Strict, as both ends are ours: lines end by CRLF, a field name is a token directly followed by its colon, values hold no control
// character, no line is folded.  At most kMaxHead bytes and kMaxFields fields.
#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace macrovpn::shell::websocket {

inline constexpr size_t kMaxHead = 8192;  // with the empty line at its end
inline constexpr size_t kMaxFields = 64;

struct Field {
  std::string_view name, value;  // of the bytes that were read
};

struct Head {
  enum class Parse : uint8_t { more, done, bad };
  Parse parse = Parse::more;
  size_t used = 0;  // done: bytes of the head; what follows is not its
  std::string_view first_line;
  std::vector<Field> fields;

  // The value of the only field of this name, in any case of letters; nothing if there is none or more than one.
  std::optional<std::string_view> only(std::string_view name) const;
  bool has(std::string_view name) const;
  // Whether a list of words separated by commas, in one or more fields of this name, holds the word.
  bool lists(std::string_view name, std::string_view word) const;
};

// Views into `bytes`.  More than kMaxHead bytes without an end: bad.
Head read_head(Bytes bytes);

}  // namespace macrovpn::shell::websocket
