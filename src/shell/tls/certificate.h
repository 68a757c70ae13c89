// A relay's self-signed certificate.  Clients do not ask any authority about it: they compare its hash with the one in the
// relay's signed descriptor.  So all that it says otherwise is for strangers, to whom it should look like any other.
#pragma once
#include <string>

#include "base/result.h"
#include "base/rng.h"
#include "base/time.h"

namespace macrovpn::shell::tls {

// SHA-256 of the certificate as DER: what a relay's descriptor holds of it.
using Pin = ByteArray<32>;

// A key on P-256 and a certificate for it, as PEM.  name: of a host, or an address.  Valid from some day of the year before `now`, for
// ten years.
Result<std::string> make_certificate(const std::string& name, Rng& rng, Wall now);
// Of its subject.
Result<std::string> name_of(const std::string& pem);

// Of `file`, which is made (only_us) if it is not there, or if it is for another name.  An empty name: whatever it is for; a new one is
// then for one that is drawn, as a name that all relays had would show them to everybody who collects certificates.
Result<std::string> load_or_make_certificate(const std::string& file, const std::string& name, Rng& rng, Wall now);

}  // namespace macrovpn::shell::tls
