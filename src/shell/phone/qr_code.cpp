#include "shell/phone/qr_code.h"

#include <qrencode.h>

#include <memory>

#include "base/secret.h"

namespace macrovpn::shell {
namespace {
constexpr size_t kMaxText = 1024;
constexpr uint8_t kDark = 1;  // the lowest bit of a module; the others tell what it is for
}  // namespace

Result<QrCode> QrCode::of(std::string_view text) {
  if (text.empty() || text.size() > kMaxText) return fail("this text is too long for a QR code; write it to a file with --output");
  const std::unique_ptr<QRcode, decltype(&QRcode_free)> code(
      QRcode_encodeData(static_cast<int>(text.size()), reinterpret_cast<const unsigned char*>(text.data()), 0, QR_ECLEVEL_L),
      QRcode_free);
  if (!code) return fail("no QR code could be made: the system is out of memory; close other programs");
  const size_t width = static_cast<size_t>(code->width);
  std::vector<uint8_t> dark(width * width);
  for (size_t i = 0; i < dark.size(); i++) dark[i] = code->data[i] & kDark;
  wipe(code->data, dark.size());  // a private key is in it
  return QrCode(width, std::move(dark));
}

QrCode::~QrCode() {
  if (!dark_.empty()) wipe(dark_.data(), dark_.size());  // moved from: there is nothing
}

bool QrCode::is_dark(size_t column, size_t row) const {
  if (column < kBorder || row < kBorder || column >= kBorder + width_ || row >= kBorder + width_) return false;
  return dark_[(row - kBorder) * width_ + column - kBorder] != 0;
}

std::string QrCode::half_blocks(Colours colours) const {
  std::string out;
  for (size_t row = 0; row < columns(); row += 2) {
    if (colours == Colours::terminal) out += "\033[40;97m";
    for (size_t column = 0; column < columns(); column++) {
      const bool upper = is_dark(column, row);
      // The height is odd: below the last line there is nothing, neither dark nor light.
      const bool lower = row + 1 == columns() || is_dark(column, row + 1);
      out += upper ? (lower ? " " : "\u2584") : (lower ? "\u2580" : "\u2588");
    }
    if (colours == Colours::terminal) out += "\033[0m";
    out += '\n';
  }
  return out;
}

}  // namespace macrovpn::shell
