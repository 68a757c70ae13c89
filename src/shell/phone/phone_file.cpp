#include "shell/phone/phone_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "shell/config/atomic_file.h"

namespace macrovpn::shell {
namespace {

constexpr std::string_view kTitle = "macrovpn devices 1\n";
constexpr size_t kMaxName = 15;
constexpr size_t kMaxFile = 64 + node::kMaxPhones * 128;

bool fits_in_a_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_=+.-").find(c) != std::string_view::npos;
}

// Takes the part before `end` off the text; nothing if there is none.
std::string_view cut(std::string_view& text, char end) {
  const size_t at = text.find(end);
  if (at == std::string_view::npos) return {};
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(at + 1);
  return part;
}

bool read_key(std::string_view text, std::span<uint8_t, 32> out) {
  const auto bytes = from_base64(text);
  if (!bytes || bytes->size() != 32) return false;
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return true;
}

std::optional<SavedPhone> read_line(std::string_view& text) {
  SavedPhone p;
  p.name = cut(text, ' ');
  const std::string_view key = cut(text, ' '), preshared = cut(text, '\n');
  if (!check_phone_name(p.name).ok() || !read_key(key, p.phone.key.bytes) || !read_key(preshared, p.phone.preshared.fill()))
    return std::nullopt;
  return p;
}

// Nothing if it is damaged.
std::optional<std::vector<SavedPhone>> parse(std::string_view text) {
  std::vector<SavedPhone> out;
  if (!text.starts_with(kTitle)) return std::nullopt;
  text.remove_prefix(kTitle.size());
  while (!text.empty()) {
    const auto p = read_line(text);
    if (!p || out.size() >= node::kMaxPhones) return std::nullopt;
    const bool twice = std::any_of(out.begin(), out.end(), [&](const SavedPhone& other) {
      return other.name == p->name || other.phone.key == p->phone.key;
    });
    if (twice) return std::nullopt;
    out.push_back(*p);
  }
  return out;
}

}  // namespace

Result<void> check_phone_name(const std::string& name) {
  const bool right = !name.empty() && name.size() <= kMaxName && name[0] != '-' && name[0] != '.' &&
                     std::all_of(name.begin(), name.end(), fits_in_a_name);
  if (right) return {};
  return fail("the name of a device has 1 to 15 letters, digits and _ = + . - without spaces, as WireGuard apps want it; it does not start with - or a dot");
}

Result<std::vector<SavedPhone>> load_phones(const std::string& path) {
  if (!file_exists(path)) return std::vector<SavedPhone>{};
  TRY(const auto bytes, read_own_file(path, kMaxFile));
  auto phones = parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!phones) return fail("the devices saved in " + path + " are damaged; move that file away and add them again");
  return std::move(*phones);
}

Result<void> store_phones(const std::string& path, const std::vector<SavedPhone>& phones) {
  if (phones.empty()) {
    if (unlink(path.c_str()) == 0 || errno == ENOENT) return {};
    return file_error("cannot remove " + path, errno);
  }
  std::string text(kTitle);
  for (const SavedPhone& p : phones)
    text += p.name + " " + to_base64(p.phone.key.bytes) + " " + to_base64(p.phone.preshared.reveal()) + "\n";
  const auto stored = write_file(path, as_bytes(text));
  wipe(text.data(), text.size());
  return stored;
}

}  // namespace macrovpn::shell
