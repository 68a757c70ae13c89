// Devices of `macrovpn device`: their file, endpoints as they are typed, texts as QR codes.  The first byte picks.  What is
// taken comes back as it was, and an endpoint adds no line to a configuration.
#include <algorithm>

#include "memory_file.h"
#include "shell/phone/phone_config.h"
#include "shell/phone/phone_file.h"
#include "shell/phone/qr_code.h"

namespace macrovpn::shell {
namespace {

void check_file(Bytes input) {
  const MemoryFile file(input);
  const auto phones = load_phones(file.path());
  if (!phones.ok()) return MV_ASSERT(!phones.error().message.empty());
  MV_ASSERT(phones->size() <= node::kMaxPhones);
  for (const SavedPhone& p : *phones) MV_ASSERT(check_phone_name(p.name).ok());
}

void check_endpoint(std::string_view typed) {
  PhoneConfig c;
  c.endpoint = "host:1";
  const std::string usual = phone_config_text(c);
  const auto endpoint = read_phone_endpoint(std::string(typed), 7);
  if (!endpoint.ok()) return;
  const auto again = read_phone_endpoint(*endpoint, 8);
  MV_ASSERT(again.ok() && *again == *endpoint);
  c.endpoint = *endpoint;
  const std::string text = phone_config_text(c);
  MV_ASSERT(std::count(text.begin(), text.end(), '\n') == std::count(usual.begin(), usual.end(), '\n'));
  MV_ASSERT(text.size() == usual.size() - 6 + endpoint->size() && endpoint->find_first_of(" \t\r\v\f#=,") == std::string::npos);
}

void check_code(std::string_view text) {
  const auto code = QrCode::of(text);
  if (!code.ok()) return MV_ASSERT(text.empty() || text.size() > 1024);
  const std::string lines = code->half_blocks(QrCode::Colours::none);
  const auto count = std::count(lines.begin(), lines.end(), '\n');
  MV_ASSERT(static_cast<size_t>(count) == (code->columns() + 1) / 2);
}

}  // namespace
}  // namespace macrovpn::shell

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace macrovpn::shell;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] % 3 == 0) check_file({data + 1, size - 1});
  if (data[0] % 3 == 1) check_endpoint(text);
  if (data[0] % 3 == 2) check_code(text);
  return 0;
}
