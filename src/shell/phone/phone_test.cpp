#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "crypto/x25519.h"
#include "shell/phone/phone_config.h"
#include "shell/phone/phone_file.h"
#include "shell/phone/qr_code.h"

namespace macrovpn::shell {
namespace {

struct PhoneFile : testing::Test {
  PhoneFile() {
    char name[] = "/tmp/mv-phones-XXXXXX";
    dir = mkdtemp(name);
    path = dir + "/devices";
  }
  ~PhoneFile() override { std::filesystem::remove_all(dir); }
  SavedPhone phone(const std::string& name) {
    SavedPhone p{name, {crypto::x25519_generate(rng).pub, {}}};
    rng.fill(p.phone.preshared.fill());
    return p;
  }
  std::string text() const {
    std::stringstream s;
    s << std::ifstream(path).rdbuf();
    return s.str();
  }
  void write(const std::string& t) const { std::ofstream(path) << t; }
  SeededRng rng{3};
  std::string dir, path;
};

TEST_F(PhoneFile, ComesBackAsItWasStored) {
  EXPECT_TRUE(load_phones(path)->empty());
  const std::vector<SavedPhone> phones{phone("anna"), phone("old.tablet"), phone("a-15_letters+=x")};
  ASSERT_TRUE(store_phones(path, phones).ok());
  const auto back = load_phones(path);
  ASSERT_TRUE(back.ok());
  ASSERT_EQ(back->size(), 3u);
  for (size_t i = 0; i < 3; i++) {
    EXPECT_EQ((*back)[i].name, phones[i].name);
    EXPECT_EQ((*back)[i].phone.key, phones[i].phone.key);
    EXPECT_TRUE((*back)[i].phone.preshared == phones[i].phone.preshared);
  }
  ASSERT_TRUE(store_phones(path, {}).ok());
  EXPECT_TRUE(load_phones(path)->empty());
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(PhoneFile, IsReadableByUsAlone) {
  ASSERT_TRUE(store_phones(path, {phone("anna")}).ok());
  struct stat s;
  ASSERT_EQ(stat(path.c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0600u);
}

TEST_F(PhoneFile, IsRefusedWhenDamaged) {
  ASSERT_TRUE(store_phones(path, {phone("anna"), phone("ben")}).ok());
  const std::string good = text();
  for (size_t n = 0; n < good.size(); n++) {
    const bool whole = n != 0 && good[n - 1] == '\n' && n >= 19;
    write(good.substr(0, n));
    EXPECT_EQ(load_phones(path).ok(), whole) << n;
  }
  const std::string line = good.substr(19, good.find('\n', 19) - 18);
  write(good + line);  // the same again
  EXPECT_FALSE(load_phones(path).ok());
  std::string other_name = line;
  other_name[0] = 'x';  // another name, the same key
  write(good + other_name);
  EXPECT_FALSE(load_phones(path).ok());
  write("macrovpn devices 2\n");
  EXPECT_FALSE(load_phones(path).ok());
  write(good + "\n");
  EXPECT_FALSE(load_phones(path).ok());
}

TEST_F(PhoneFile, HoldsNoMoreThanANodeTakes) {
  std::vector<SavedPhone> phones;
  for (size_t i = 0; i < node::kMaxPhones; i++) phones.push_back(phone("device-number-" + std::string(1, static_cast<char>('a' + i))));
  ASSERT_TRUE(store_phones(path, phones).ok());
  EXPECT_TRUE(load_phones(path).ok());
  phones.push_back(phone("more"));
  ASSERT_TRUE(store_phones(path, phones).ok());
  EXPECT_FALSE(load_phones(path).ok());
}

TEST(PhoneName, IsOneThatWireGuardAppsTake) {
  for (const char* good : {"a", "Anna", "my-phone_2", "a-15_letters+=x", "9"}) EXPECT_TRUE(check_phone_name(good).ok()) << good;
  for (const char* bad : {"", "anna's", "my phone", "sixteen-letters-", "../x", "a/b", "-a", ".a", "a\nb", "\xc3\xa4"})
    EXPECT_FALSE(check_phone_name(bad).ok()) << bad;
}

TEST(PhoneConfig, SaysWhatAStockAppNeeds) {
  PhoneConfig c;
  c.phone.secret.fill()[0] = 1;
  c.preshared.fill()[0] = 2;
  c.node.bytes[0] = 3;
  c.endpoint = "vpn.example.org:51821";
  const std::string zeros(41, 'A');
  EXPECT_EQ(phone_config_text(c),
            "[Interface]\n"
            "PrivateKey = AQ" + zeros + "=\n"
            "Address = 10.10.0.2/32, fd86:ea04:1115::2/128\n"
            "DNS = 10.10.0.1, fd86:ea04:1115::1\n"
            "MTU = 1280\n"
            "\n"
            "[Peer]\n"
            "PublicKey = Aw" + zeros + "=\n"
            "PresharedKey = Ag" + zeros + "=\n"
            "AllowedIPs = 0.0.0.0/0, ::/0\n"
            "Endpoint = vpn.example.org:51821\n"
            "PersistentKeepalive = 25\n");
}

TEST(PhoneEndpoint, TakesNamesAndAddressesAndNothingElse) {
  const auto read = [](const std::string& typed) {
    const auto e = read_phone_endpoint(typed, 51821);
    return e.ok() ? *e : "refused";
  };
  EXPECT_EQ(read("vpn.example.org"), "vpn.example.org:51821");
  EXPECT_EQ(read("vpn.example.org:7"), "vpn.example.org:7");
  EXPECT_EQ(read("203.0.113.5:65535"), "203.0.113.5:65535");
  EXPECT_EQ(read("[2001:db8::5]:99"), "[2001:db8::5]:99");
  EXPECT_EQ(read("[2001:db8::5]"), "[2001:db8::5]:51821");
  EXPECT_EQ(read("2001:db8::5"), "[2001:db8::5]:51821");
  for (const char* bad : {"", ":51821", "host:", "host:0", "host:65536", "host:x", "host:1:2", "host 1", "-host", ".host",
                          "999.1.1.1", "1.2.3", "[host]:1", "[2001:db8::5", "[2001:db8::5]x", "host:1\nPostUp = x", "host\n", "h\xc3\xb6st"})
    EXPECT_EQ(read(bad), "refused") << bad;
  EXPECT_EQ(read(std::string(253, 'a')), std::string(253, 'a') + ":51821");
  EXPECT_EQ(read(std::string(254, 'a')), "refused");
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::stringstream s(text);
  for (std::string line; std::getline(s, line);) out.push_back(line);
  return out;
}

size_t characters(const std::string& utf8) {
  return static_cast<size_t>(std::count_if(utf8.begin(), utf8.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// That readers read it is tested end to end, with a reader that is not ours.
TEST(QrCode, HasABorderAndTheThreeCornersOfAllCodes) {
  const auto code = QrCode::of("macrovpn");
  ASSERT_TRUE(code.ok());
  EXPECT_EQ(code->columns(), 29u);  // version 1
  const auto lines = lines_of(code->half_blocks(QrCode::Colours::none));
  ASSERT_EQ(lines.size(), 15u);
  for (const auto& line : lines) EXPECT_EQ(characters(line), 29u);
  const auto blocks = [](size_t n, const char* block) {
    std::string out;
    for (size_t i = 0; i < n; i++) out += block;
    return out;
  };
  EXPECT_EQ(lines[0], blocks(29, "\u2588"));
  EXPECT_EQ(lines[1], blocks(29, "\u2588"));
  EXPECT_EQ(lines[14], blocks(29, "\u2580"));
  // A corner's first two rows: seven dark; dark, five light, dark.
  const std::string corner = " " + blocks(5, "\u2584") + " ";
  EXPECT_TRUE(lines[2].starts_with(blocks(4, "\u2588") + corner)) << lines[2];
  EXPECT_TRUE(lines[2].ends_with(corner + blocks(4, "\u2588"))) << lines[2];
}

TEST(QrCode, SetsAndResetsColoursForATerminal) {
  const auto code = QrCode::of("macrovpn");
  for (const std::string& line : lines_of(code->half_blocks(QrCode::Colours::terminal))) {
    EXPECT_TRUE(line.starts_with("\033[40;97m"));
    EXPECT_TRUE(line.ends_with("\033[0m"));
  }
}

TEST(QrCode, HasALimit) {
  EXPECT_TRUE(QrCode::of(std::string(1024, 'x')).ok());
  EXPECT_FALSE(QrCode::of(std::string(1025, 'x')).ok());
  EXPECT_FALSE(QrCode::of("").ok());
}

// The longest endpoint still fits a terminal of 120 columns; the usual one, of 80.
TEST(QrCode, OfAConfigurationFitsATerminal) {
  PhoneConfig c;
  c.endpoint = "192.168.100.100:51821";
  EXPECT_LE(QrCode::of(phone_config_text(c))->columns(), 80u);
  c.endpoint = std::string(253, 'a') + ":51821";
  EXPECT_LE(QrCode::of(phone_config_text(c))->columns(), 120u);
}

}  // namespace
}  // namespace macrovpn::shell
