#include "shell/region/country_database.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "shell/region/mmdb_writer_test.h"

namespace macrovpn::shell {
namespace {

std::string text(const std::optional<Region>& r) { return r ? std::string(r->code.begin(), r->code.end()) : "-"; }

struct Databases : ::testing::Test {
  Databases() {
    char name[] = "/tmp/mv-region-XXXXXX";
    folder = mkdtemp(name);
  }
  ~Databases() override { std::filesystem::remove_all(folder); }
  std::string folder;
};

TEST_F(Databases, SaysWhoseAnAddressIs) {
  for (const auto form : {MmdbWriter::Form::flat, MmdbWriter::Form::nested}) {
    MmdbWriter writer(form);
    writer.add(*IpPrefix::parse("192.0.2.0/24"), "NO");
    writer.add(*IpPrefix::parse("198.51.100.0/24"), "SE");
    writer.add(*IpPrefix::parse("198.51.100.128/25"), "DK");
    writer.add(*IpPrefix::parse("2001:db8:1::/48"), "JP");
    writer.write(folder + "/country.mmdb");
    const auto db = CountryDatabase::open(folder + "/country.mmdb");
    ASSERT_TRUE(db.ok()) << db.error().message;
    EXPECT_EQ(text(db->country_of(*IpAddress::parse("192.0.2.7"))), "NO");
    EXPECT_EQ(text(db->country_of(*IpAddress::parse("198.51.100.127"))), "SE");
    EXPECT_EQ(text(db->country_of(*IpAddress::parse("198.51.100.128"))), "DK");
    EXPECT_EQ(text(db->country_of(*IpAddress::parse("2001:db8:1::5"))), "JP");
    EXPECT_EQ(text(db->country_of(*IpAddress::parse("203.0.113.1"))), "-");
    EXPECT_EQ(text(db->country_of(*IpAddress::parse("2001:db8:2::5"))), "-");
    EXPECT_EQ(unix_seconds(db->made()), 1'790'000'000);
  }
}

TEST_F(Databases, WhatIsNoCountryIsNone) {
  MmdbWriter writer;
  writer.add(*IpPrefix::parse("192.0.2.0/25"), "no");
  writer.add(*IpPrefix::parse("192.0.2.128/25"), "NOR");
  writer.write(folder + "/country.mmdb");
  const auto db = CountryDatabase::open(folder + "/country.mmdb");
  ASSERT_TRUE(db.ok());
  EXPECT_FALSE(db->country_of(*IpAddress::parse("192.0.2.7")));
  EXPECT_FALSE(db->country_of(*IpAddress::parse("192.0.2.200")));
}

TEST_F(Databases, AMissingOrDamagedFileIsSaid) {
  const auto missing = CountryDatabase::open(folder + "/none");
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message.find(folder + "/none"), std::string::npos);
  std::ofstream(folder + "/bad") << std::string(4096, 'x');
  EXPECT_FALSE(CountryDatabase::open(folder + "/bad").ok());
}

TEST(CountryDatabasePlaces, TheConfiguredOneAlone) {
  EXPECT_EQ(country_database_places("/a/b", "/data"), std::vector<std::string>{"/a/b"});
  EXPECT_EQ(country_database_places("", "/data")[0], "/data/country.mmdb");
}

}  // namespace
}  // namespace macrovpn::shell
