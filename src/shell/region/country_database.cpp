#include "shell/region/country_database.h"

#include <maxminddb.h>
#include <netinet/in.h>

#include <cstring>

namespace macrovpn::shell {

struct CountryDatabase::File {
  MMDB_s mmdb{};
  bool is_open = false;
  ~File() {
    if (is_open) MMDB_close(&mmdb);
  }
};

CountryDatabase::CountryDatabase(std::unique_ptr<File> file) : file_(std::move(file)) {}
CountryDatabase::CountryDatabase(CountryDatabase&&) noexcept = default;
CountryDatabase& CountryDatabase::operator=(CountryDatabase&&) noexcept = default;
CountryDatabase::~CountryDatabase() = default;

Result<CountryDatabase> CountryDatabase::open(const std::string& path) {
  auto file = std::make_unique<File>();
  if (const int status = MMDB_open(path.c_str(), MMDB_MODE_MMAP, &file->mmdb); status != MMDB_SUCCESS)
    return fail("the country database " + path + " cannot be read: " + MMDB_strerror(status) + "; put the file there again");
  file->is_open = true;
  return CountryDatabase(std::move(file));
}

namespace {

sockaddr_storage socket_address(const IpAddress& a) {
  sockaddr_storage out{};
  if (a.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    std::memcpy(&v4.sin_addr, a.bytes().data(), 4);
    std::memcpy(&out, &v4, sizeof v4);
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    std::memcpy(&v6.sin6_addr, a.bytes().data(), 16);
    std::memcpy(&out, &v6, sizeof v6);
  }
  return out;
}

std::optional<Region> read_code(MMDB_entry_s& entry, const char* const* path) {
  MMDB_entry_data_s data{};
  if (MMDB_aget_value(&entry, &data, path) != MMDB_SUCCESS || !data.has_data) return std::nullopt;
  if (data.type != MMDB_DATA_TYPE_UTF8_STRING || data.data_size != 2) return std::nullopt;
  const Region r{{static_cast<uint8_t>(data.utf8_string[0]), static_cast<uint8_t>(data.utf8_string[1])}};
  const auto is_capital = [](uint8_t c) { return c >= 'A' && c <= 'Z'; };
  if (!is_capital(r.code[0]) || !is_capital(r.code[1])) return std::nullopt;
  return r;
}

}  // namespace

std::optional<Region> CountryDatabase::country_of(const IpAddress& a) const {
  const sockaddr_storage address = socket_address(a);
  int error = MMDB_SUCCESS;
  auto found = MMDB_lookup_sockaddr(&file_->mmdb, reinterpret_cast<const sockaddr*>(&address), &error);
  if (error != MMDB_SUCCESS || !found.found_entry) return std::nullopt;
  static constexpr const char* kFlat[] = {"country_code", nullptr};
  static constexpr const char* kNested[] = {"country", "iso_code", nullptr};
  const auto flat = read_code(found.entry, kFlat);
  return flat ? flat : read_code(found.entry, kNested);
}

Wall CountryDatabase::made() const { return wall_from_unix(static_cast<int64_t>(file_->mmdb.metadata.build_epoch)); }

std::vector<std::string> country_database_places(const std::string& configured, const std::string& data_folder) {
  if (!configured.empty()) return {configured};
  return {data_folder + "/country.mmdb", "/usr/local/share/macrovpn/country.mmdb", "/usr/share/macrovpn/country.mmdb"};
}

}  // namespace macrovpn::shell
