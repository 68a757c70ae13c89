// A country database whose bytes are the input's: opening and asking end in a refusal, in nothing or in two capital letters.
#include <unistd.h>

#include <fstream>

#include "shell/region/country_database.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace macrovpn;
  static const std::string folder = [] {
    std::string name = "/dev/shm/fuzz-country-XXXXXX";
    MV_ASSERT(mkdtemp(name.data()) != nullptr);
    return name;
  }();
  const std::string file = folder + "/country.mmdb";
  std::ofstream(file, std::ios::binary | std::ios::trunc).write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  const auto db = shell::CountryDatabase::open(file);
  if (!db.ok()) return 0;
  static_cast<void>(db->made());
  for (const char* a : {"192.0.2.1", "198.51.100.7", "203.0.113.255", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::", "ffff::1"}) {
    const auto country = db->country_of(*IpAddress::parse(a));
    if (country) MV_ASSERT(country->code[0] >= 'A' && country->code[0] <= 'Z' && country->code[1] >= 'A' && country->code[1] <= 'Z');
  }
  return 0;
}
