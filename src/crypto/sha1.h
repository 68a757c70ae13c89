// SHA-1 (FIPS 180-4).  Broken for signatures; here for Sec-WebSocket-Accept alone (RFC 6455 §4.2.2), which protects nothing.
#pragma once
#include "base/bytes.h"

namespace macrovpn::crypto {

ByteArray<20> sha1(Bytes data);

}  // namespace macrovpn::crypto
