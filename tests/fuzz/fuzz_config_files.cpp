// What a person edits or pastes: settings, network files, key files and backups, any TOML.  The first byte
// picks.  What is read is written and read again as the same; everything else is a sentence.
#include "crypto/hash.h"
#include "memory_file.h"
#include "shell/config/invite.h"
#include "shell/config/key_store.h"
#include "shell/config/network_file.h"
#include "shell/config/settings.h"

namespace macrovpn::shell {
namespace {

void check_toml(std::string_view text) {
  const auto entries = read_toml(text, "input");
  if (!entries.ok()) {
    MV_ASSERT(!entries.error().message.empty());
    return;
  }
  for (const TomlEntry& e : *entries) {
    const auto again = read_toml("k = " + to_toml(e.value) + "\n", "again");
    MV_ASSERT(again.ok() && again->size() == 1 && again->front().value == e.value);
    static_cast<void>(to_plain(e.value));
  }
}

void check_settings(Bytes input) {
  const MemoryFile file(input);
  const auto settings = load_settings(file.path(), "/nonexistent/settings.toml");
  if (settings.ok()) MV_ASSERT(settings->hop_count() >= 1 && settings->hop_count() <= 5);
}

// Also under a signature that is right, which a hostile network's owner can make.
void check_network(std::string_view text) {
  static_cast<void>(parse_network_file(text, "input").ok());
  SeededRng rng(1);
  static const crypto::SigningKey key = crypto::ed25519_generate(rng);
  std::string body(text);
  constexpr std::string_view kMark = "KEY";
  if (const size_t at = body.find(kMark); at != std::string::npos)
    body.replace(at, kMark.size(), to_base64(key.pub.bytes));
  if (!body.ends_with('\n')) body += '\n';
  std::vector<uint8_t> message;
  Writer(message).bytes(as_bytes("macrovpn network 1")).bytes(as_bytes(body));
  const auto signature = crypto::ed25519_sign(key, message);
  const auto n = parse_network_file(body + "signature = \"" + to_base64(signature) + "\"\n", "signed");
  if (!n.ok()) return;
  const auto again = parse_network_file(sign_network_file(*n, key), "again");
  MV_ASSERT(again.ok() && again->id == n->id && again->seeds == n->seeds &&
            again->extra_global == n->extra_global);
}

// As it came, and with its size and checksum mended, so that what is behind them is reached.
void check_invite(Bytes input) {
  static_cast<void>(parse_invite({reinterpret_cast<const char*>(input.data()), input.size()}).ok());
  std::vector<uint8_t> bytes(2);
  bytes.insert(bytes.end(), input.begin(), input.begin() + static_cast<ptrdiff_t>(std::min<size_t>(input.size(), 600)));
  store_le16(bytes.data(), static_cast<uint16_t>(bytes.size() + 4));
  const auto hash = crypto::blake2b_256({as_bytes("macrovpn invite 1"), bytes});
  bytes.insert(bytes.end(), hash.begin(), hash.begin() + 4);
  std::string text = to_base64(bytes);
  text.resize(std::min(text.find('='), text.size()));
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  const auto invite = parse_invite("macrovpn:" + text);
  if (invite.ok()) MV_ASSERT(parse_invite(*to_link(*invite)).ok());
}

void check_keys(Bytes input) {
  const MemoryFile file(input);
  static_cast<void>(load_keys(file.path()).ok());
  static_cast<void>(load_signing_key(file.path()).ok());
}

// A backup whose cost is not the least is not opened here: it would only measure Argon2.
void check_backup(std::string_view text) {
  static_cast<void>(parse_bandwidth(text));
  static_cast<void>(parse_region(text));
  std::string bare(text);
  std::erase_if(bare, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
  constexpr std::string_view kBegin = "-----BEGINMACROVPNKEYBACKUP-----";
  if (const size_t begin = bare.find(kBegin); begin != std::string::npos) {
    const auto head = from_base64(std::string_view(bare).substr(begin + kBegin.size(), 12));
    if (!head || head->size() < 8 || load_le32(head->data()) > 1 || load_le32(head->data() + 4) > 64) return;
  }
  static_cast<void>(restore_keys(text, "a passphrase").ok());
}

}  // namespace
}  // namespace macrovpn::shell

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace macrovpn::shell;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 6) {
    case 0:
      check_toml(text);
      break;
    case 1:
      check_settings({data + 1, size - 1});
      break;
    case 2:
      check_network(text);
      break;
    case 3:
      check_keys({data + 1, size - 1});
      break;
    case 5:
      check_invite({data + 1, size - 1});
      break;
    default:
      check_backup(text);
  }
  return 0;
}
