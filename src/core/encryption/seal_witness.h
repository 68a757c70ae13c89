// SealWitness: sees what each message is sealed with, before it is: for the simulator, which proves that no pair of key and
// counter comes twice.  A program that runs for people has none.
//
// Cookies are not among them: their nonces are 24 random bytes (whitepaper §5.4.7).
#pragma once
#include <cstdint>

#include "base/secret.h"

namespace macrovpn::encryption {

class SealWitness {
 public:
  virtual ~SealWitness() = default;
  // A transport message.
  virtual void seals(const Secret<32>& key, uint64_t counter) = 0;
  // A part of a handshake message, or early data: under counter 0 of a key that is for this alone.
  virtual void seals_once(const Secret<32>& key) = 0;
};

}  // namespace macrovpn::encryption
