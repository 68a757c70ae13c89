// The file is lines of "name value" in a fixed order under a title, all ASCII:
//
//   macrovpn keys 1                 macrovpn signing key 1
//   identity HEX                    seed HEX
//   wireguard HEX
//   created UNIX-SECONDS
#include "shell/config/key_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "crypto/x25519.h"
#include "shell/config/atomic_file.h"

namespace macrovpn::shell {
namespace {

constexpr std::string_view kTitle = "macrovpn keys 1";
constexpr std::string_view kSigningTitle = "macrovpn signing key 1";
constexpr std::string_view kBegin = "-----BEGIN MACROVPN KEY BACKUP-----\n";
constexpr std::string_view kEnd = "-----END MACROVPN KEY BACKUP-----";
constexpr size_t kMaxFile = 1024;

// Text that holds a secret: wiped when it goes.
struct SecretText {
  std::string text;
  SecretText() = default;
  explicit SecretText(Bytes b) : text(b.begin(), b.end()) {}
  SecretText(const SecretText&) = delete;
  SecretText& operator=(const SecretText&) = delete;
  ~SecretText() { wipe(text.data(), text.capacity()); }
};

void append_line(std::string& out, std::string_view name, const Secret<32>& value) {
  std::string hex = to_hex(value.reveal());
  out.append(name).append(" ").append(hex).append("\n");
  wipe(hex.data(), hex.size());
}

// The value of the next line, which must have this name.
std::optional<std::string_view> next_value(std::string_view& text, std::string_view name) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos || !text.starts_with(name) || text[name.size()] != ' ')
    return std::nullopt;
  const std::string_view value = text.substr(name.size() + 1, end - name.size() - 1);
  text.remove_prefix(end + 1);
  return value;
}

std::optional<Secret<32>> next_secret(std::string_view& text, std::string_view name) {
  const auto value = next_value(text, name);
  auto bytes = value ? from_hex(*value) : std::nullopt;
  if (!bytes || bytes->size() != 32) return std::nullopt;
  const Secret<32> out(std::span<const uint8_t, 32>(bytes->data(), 32));
  wipe(bytes->data(), bytes->size());
  return out;
}

bool skip_title(std::string_view& text, std::string_view title) {
  if (!text.starts_with(title) || text.size() <= title.size() || text[title.size()] != '\n') return false;
  text.remove_prefix(title.size() + 1);
  return true;
}

void write_keys(const Keys& k, std::string& out) {
  out.reserve(kMaxFile);  // no copy left behind by growing
  out.append(kTitle).append("\n");
  append_line(out, "identity", k.identity.seed);
  append_line(out, "wireguard", k.wireguard.secret);
  out += "created " + std::to_string(unix_seconds(k.created)) + "\n";
}

std::optional<Keys> parse_keys(std::string_view text) {
  if (!skip_title(text, kTitle)) return std::nullopt;
  const auto seed = next_secret(text, "identity");
  const auto wireguard = next_secret(text, "wireguard");
  const auto created = next_value(text, "created");
  if (!seed || !wireguard || !created || !text.empty()) return std::nullopt;
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(created->data(), created->data() + created->size(), seconds);
  if (error != std::errc{} || end != created->data() + created->size() || seconds < 0 || seconds > UINT32_MAX)
    return std::nullopt;
  return Keys{crypto::ed25519_from_seed(*seed), crypto::x25519_from_secret(*wireguard),
              wall_from_unix(seconds)};
}

Result<void> check_permissions(const std::string& path) {
  struct stat s;
  if (stat(path.c_str(), &s) != 0) return file_error("cannot read the keys in " + path, errno);
  if (s.st_uid != geteuid() && geteuid() != 0)
    return fail("the keys in " + path +
                " belong to another user; use your own, or make new ones with --state DIR");
  if ((s.st_mode & 077) == 0) return {};
  return fail("other users can read the keys in " + path + ": close it with `chmod 600 " + path +
              "`; if others use this computer, make new keys");
}

Result<Keys> read_keys(const std::string& path) {
  TRY_VOID(check_permissions(path));
  TRY(std::vector<uint8_t> bytes, read_file(path, kMaxFile));
  const SecretText file{Bytes(bytes)};
  wipe(bytes.data(), bytes.size());
  auto keys = parse_keys(file.text);
  if (!keys)
    return fail("the keys in " + path +
                " are damaged; restore them with `macrovpn key restore` or move the file away");
  return *keys;
}

Error backup_error(crypto::PassphraseError e) {
  switch (e) {
    case crypto::PassphraseError::wrong_passphrase:
      return {
          "this passphrase does not open the backup; type it again, or check that the backup was not "
          "changed"};
    case crypto::PassphraseError::out_of_memory:
      return {
          "not enough memory to open or make a backup (256 MiB are needed); close other programs and try "
          "again"};
    case crypto::PassphraseError::malformed:
      break;
  }
  return {"this is no backup of macrovpn's keys; give the whole text, with its first and last line"};
}

std::string in_lines(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); i += 64) out.append(text, i, 64).append("\n");
  return out;
}

Result<void> store_new(const std::string& path, const std::string& text, const char* what) {
  TRY(const Created created, create_file(path, as_bytes(text)));
  if (created == Created::existed)
    return fail(std::string("there are ") + what + " in " + path +
                " already; move that file away first if you mean it");
  return {};
}

}  // namespace

Keys generate_keys(Rng& rng, Wall now) {
  const int64_t hour = unix_seconds(now) / 3600 * 3600;
  return {crypto::ed25519_generate(rng), crypto::x25519_generate(rng), wall_from_unix(hour)};
}

Result<Keys> load_keys(const std::string& path) {
  if (!file_exists(path))
    return fail("there are no keys yet in " + path + "; they are made when macrovpn first starts");
  return read_keys(path);
}

Result<Keys> load_or_create_keys(const std::string& path, Rng& rng, Wall now) {
  if (!file_exists(path)) {
    SecretText file;
    write_keys(generate_keys(rng, now), file.text);
    TRY_VOID(create_file(path, as_bytes(file.text)));  // if somebody was faster, theirs count
  }
  return read_keys(path);
}

Result<void> store_new_keys(const std::string& path, const Keys& keys) {
  SecretText file;
  write_keys(keys, file.text);
  return store_new(path, file.text, "keys");
}

Result<std::string> backup_keys(const Keys& keys, std::string_view passphrase, Rng& rng,
                                crypto::PassphraseCost cost) {
  if (passphrase.size() < 8)
    return fail("the passphrase is too short; use 8 characters at least, better four words");
  SecretText plain;
  write_keys(keys, plain.text);
  const auto box = crypto::lock_with_passphrase(passphrase, as_bytes(plain.text), rng, cost);
  if (!box) return Failure{backup_error(box.error())};
  return std::string(kBegin) + in_lines(to_base64(*box)) + std::string(kEnd) + "\n";
}

Result<Keys> restore_keys(std::string_view backup, std::string_view passphrase) {
  const size_t begin = backup.find(kBegin);
  const size_t end = backup.find(kEnd);
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin)
    return Failure{backup_error(crypto::PassphraseError::malformed)};
  std::string text(backup.substr(begin + kBegin.size(), end - begin - kBegin.size()));
  std::erase_if(text, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
  const auto box = from_base64(text);
  if (!box) return Failure{backup_error(crypto::PassphraseError::malformed)};
  auto opened = crypto::unlock_with_passphrase(passphrase, *box);
  if (!opened) return Failure{backup_error(opened.error())};
  const SecretText plain{Bytes(*opened)};
  wipe(opened->data(), opened->size());
  auto keys = parse_keys(plain.text);
  if (!keys) return Failure{backup_error(crypto::PassphraseError::malformed)};
  return *keys;
}

Result<crypto::SigningKey> load_signing_key(const std::string& path) {
  TRY_VOID(check_permissions(path));
  TRY(std::vector<uint8_t> bytes, read_file(path, kMaxFile));
  const SecretText file{Bytes(bytes)};
  wipe(bytes.data(), bytes.size());
  std::string_view rest = file.text;
  const auto seed = skip_title(rest, kSigningTitle) ? next_secret(rest, "seed") : std::nullopt;
  if (!seed || !rest.empty()) return fail(path + " holds no signing key; check that it is the right file");
  return crypto::ed25519_from_seed(*seed);
}

Result<void> store_new_signing_key(const std::string& path, const crypto::SigningKey& key) {
  SecretText file;
  file.text.reserve(kMaxFile);
  file.text.append(kSigningTitle).append("\n");
  append_line(file.text, "seed", key.seed);
  return store_new(path, file.text, "keys");
}

}  // namespace macrovpn::shell
