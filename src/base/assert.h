// MV_ASSERT: "we made a mistake".  On in release builds too.  Never for what the world sends us.
#pragma once

namespace macrovpn {
[[noreturn]] void assert_failed(const char* expression, const char* file, int line);
}

#define MV_ASSERT(expression) \
  ((expression) ? static_cast<void>(0) : ::macrovpn::assert_failed(#expression, __FILE__, __LINE__))
