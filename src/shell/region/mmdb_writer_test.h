// Tests only: writes a small database of MaxMind's format (maxmind.github.io/MaxMind-DB, version 2.0): a binary trie of 24-bit records over
// 128-bit addresses, IPv4 at ::/96; behind it 16 zeros, the data, and the metadata.
#pragma once
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "model/ip.h"

namespace macrovpn::shell {

class MmdbWriter {
 public:
  // Later prefixes may lie inside of earlier ones.
  void add(const IpPrefix& prefix, const std::string& code) {
    ByteArray<16> bits{};
    const size_t skip = prefix.address.is_v4() ? 96 : 0;
    std::copy(prefix.address.bytes().begin(), prefix.address.bytes().end(), bits.begin() + static_cast<std::ptrdiff_t>(skip / 8));
    size_t node = 0;
    const size_t length = skip + prefix.length;
    for (size_t i = 0; i < length; i++) {
      const size_t side = bits[i / 8] >> (7 - i % 8) & 1;
      if (i + 1 == length) {
        nodes_[node][side] = {Kind::data, offset_of(code)};
        return;
      }
      if (nodes_[node][side].kind != Kind::node) {
        const Record inherited = nodes_[node][side];
        nodes_.push_back({inherited, inherited});
        nodes_[node][side] = {Kind::node, nodes_.size() - 1};
      }
      node = nodes_[node][side].value;
    }
  }
  enum class Form : uint8_t { flat, nested };
  explicit MmdbWriter(Form form = Form::flat) : form_(form) {}

  void write(const std::string& path) const {
    std::string out;
    for (const Node& n : nodes_) {
      for (const Record& r : n) {
        const size_t value = r.kind == Kind::node ? r.value : r.kind == Kind::nothing ? nodes_.size() : nodes_.size() + 16 + r.value;
        for (const int shift : {16, 8, 0}) out += static_cast<char>(value >> shift & 255);
      }
    }
    out += std::string(16, 0) + data_ + "\xab\xcd\xefMaxMind.com" + metadata();
    std::ofstream(path, std::ios::binary) << out;
  }

 private:
  enum class Kind : uint8_t { nothing, node, data };
  struct Record {
    Kind kind = Kind::nothing;
    size_t value = 0;
  };
  using Node = std::array<Record, 2>;

  static std::string text(const std::string& s) { return static_cast<char>(0x40 | s.size()) + s; }  // up to 28 bytes
  static std::string map_of(size_t pairs) { return std::string(1, static_cast<char>(0xe0 | pairs)); }
  static std::string number(int type, uint64_t value) {  // 5: 16 bits, 6: 32 bits; 9: 64 bits, which is an extended type
    std::string bytes;
    for (; value != 0; value >>= 8) bytes.insert(bytes.begin(), static_cast<char>(value & 255));
    const auto size = static_cast<char>(bytes.size());
    if (type < 8) return static_cast<char>(type << 5 | size) + bytes;
    return std::string{size, static_cast<char>(type - 7)} + bytes;
  }
  size_t offset_of(const std::string& code) {
    const auto known = offsets_.find(code);
    if (known != offsets_.end()) return known->second;
    const size_t at = data_.size();
    const std::string inner = form_ == Form::flat ? text("country_code") : text("country") + map_of(1) + text("iso_code");
    data_ += map_of(1) + inner + text(code);
    return offsets_[code] = at;
  }
  std::string metadata() const {
    return map_of(9) + text("binary_format_major_version") + number(5, 2) + text("binary_format_minor_version") + number(5, 0) +
           text("build_epoch") + number(9, 1'790'000'000) + text("database_type") + text("Country") + text("description") + map_of(0) +
           text("ip_version") + number(5, 6) + text("languages") + std::string("\x00\x04", 2) + text("node_count") + number(6, nodes_.size()) +
           text("record_size") + number(5, 24);
  }

  Form form_;
  std::vector<Node> nodes_{Node{}};
  std::map<std::string, size_t> offsets_;
  std::string data_;
};

}  // namespace macrovpn::shell
