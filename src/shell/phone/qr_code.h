// A text as a QR code (ISO/IEC 18004) for a terminal: two modules a character, as half blocks.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace macrovpn::shell {

class QrCode {
 public:
  // At most 1 KiB, more than any configuration of ours: a code that a phone still reads off a screen.  Error correction of
  // the lowest level, since a screen has no scratches and fewer modules are larger ones.
  static Result<QrCode> of(std::string_view text);
  ~QrCode();
  QrCode(QrCode&&) = default;
  QrCode& operator=(QrCode&&) = default;

  // Characters in a line, with the white border that readers want.
  size_t columns() const { return width_ + 2 * kBorder; }
  // terminal: black and white whatever the terminal's own colours are.  none: light modules are blocks, so the terminal's
  // text should be lighter than its background.
  enum class Colours : uint8_t { terminal, none };
  std::string half_blocks(Colours) const;

 private:
  static constexpr size_t kBorder = 4;  // modules (ISO/IEC 18004)
  QrCode(size_t width, std::vector<uint8_t> dark) : width_(width), dark_(std::move(dark)) {}
  bool is_dark(size_t column, size_t row) const;  // the border counts
  size_t width_;
  std::vector<uint8_t> dark_;  // row by row
};

}  // namespace macrovpn::shell
