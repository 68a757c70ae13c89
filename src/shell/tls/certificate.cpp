#include "shell/tls/certificate.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "model/ip.h"
#include "shell/config/atomic_file.h"
#include "shell/tls/openssl.h"

namespace macrovpn::shell::tls {
namespace {

constexpr size_t kMaxFile = 16 * 1024;
constexpr int64_t kDay = 86'400, kYears = 3650;

bool add_subject_alternative_name(X509* certificate, const std::string& name) {
  const bool address = IpAddress::parse(name).has_value();
  const std::string value = (address ? "IP:" : "DNS:") + name;
  const Owned<X509_EXTENSION, X509_EXTENSION_free> extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool set_times_and_number(X509* certificate, Rng& rng, Wall now) {
  const int64_t from = unix_seconds(now) - kDay - static_cast<int64_t>(rng.below(364 * kDay));
  ByteArray<16> number = rng.bytes<16>();
  number[0] &= 0x7f;
  const Owned<BIGNUM, BN_free> big(BN_bin2bn(number.data(), number.size(), nullptr));
  return big && BN_to_ASN1_INTEGER(big.get(), X509_get_serialNumber(certificate)) != nullptr &&
         ASN1_TIME_set(X509_getm_notBefore(certificate), from) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), from + kYears * kDay) != nullptr;
}

Result<OwnedCertificate> certify(EVP_PKEY* key, const std::string& name, Rng& rng, Wall now) {
  OwnedCertificate c(X509_new());
  X509_NAME* subject = c ? X509_get_subject_name(c.get()) : nullptr;
  const bool made = subject != nullptr && X509_set_version(c.get(), 2) == 1 && set_times_and_number(c.get(), rng, now) &&
                    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1,
                                               0) == 1 &&
                    X509_set_issuer_name(c.get(), subject) == 1 && X509_set_pubkey(c.get(), key) == 1 &&
                    add_subject_alternative_name(c.get(), name) && X509_sign(c.get(), key, EVP_sha256()) != 0;
  if (!made) return openssl_failure("cannot make a certificate");
  return c;
}

Result<std::string> to_pem(EVP_PKEY* key, X509* certificate) {
  const OwnedBio out(BIO_new(BIO_s_secmem()));
  char* text = nullptr;
  const bool written = out && PEM_write_bio_PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1 &&
                       PEM_write_bio_X509(out.get(), certificate) == 1;
  if (!written) return openssl_failure("cannot write a certificate");
  const long size = BIO_get_mem_data(out.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

std::string drawn_name(Rng& rng) {
  constexpr std::string_view kConsonants = "bdfgklmnprstvz", kVowels = "aeiou";
  constexpr const char* kEnds[] = {".com", ".net", ".org", ".eu", ".info"};
  std::string name = rng.below(2) == 0 ? "www." : "";
  const size_t syllables = 3 + rng.below(3);
  for (size_t i = 0; i < syllables; i++) {
    name += kConsonants[rng.below(kConsonants.size())];
    name += kVowels[rng.below(kVowels.size())];
  }
  return name + kEnds[rng.below(std::size(kEnds))];
}

Failure<Error> damaged(const std::string& file) {
  ERR_clear_error();
  return fail("the certificate in " + file + " is damaged; move that file away to have a new one made (clients learn of it with the relay's next descriptor)");
}

}  // namespace

Result<std::string> make_certificate(const std::string& name, Rng& rng, Wall now) {
  const OwnedKey key(EVP_EC_gen("P-256"));
  if (!key) return openssl_failure("cannot make a key");
  TRY(const OwnedCertificate certificate, certify(key.get(), name, rng, now));
  return to_pem(key.get(), certificate.get());
}

Result<std::string> name_of(const std::string& pem) {
  const OwnedBio in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const OwnedCertificate c(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
  char name[256];
  if (!c || X509_NAME_get_text_by_NID(X509_get_subject_name(c.get()), NID_commonName, name, sizeof name) < 0)
    return openssl_failure("no certificate");
  return std::string(name);
}

Result<std::string> load_or_make_certificate(const std::string& file, const std::string& name, Rng& rng, Wall now) {
  if (file_exists(file)) {
    TRY(const std::vector<uint8_t> bytes, read_own_file(file, kMaxFile));
    const std::string pem(bytes.begin(), bytes.end());
    const auto old_name = name_of(pem);
    if (!old_name) return damaged(file);
    if (name.empty() || *old_name == name) return pem;
  }
  TRY(const std::string pem, make_certificate(name.empty() ? drawn_name(rng) : name, rng, now));
  TRY_VOID(write_file(file, as_bytes(pem)));
  return pem;
}

}  // namespace macrovpn::shell::tls
