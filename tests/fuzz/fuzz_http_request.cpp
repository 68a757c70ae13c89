// HTTP heads: whatever comes in, what is forwarded is one well-formed head that asks for the connection to be
// closed and says nothing that was meant for the proxy.
#include "shell/proxy/http_request.h"

namespace macrovpn::shell {
namespace {

void check_forwarded(const HttpRequest& r) {
  const std::string& f = r.forwarded;
  MV_ASSERT(f.ends_with("\r\nConnection: close\r\n\r\n") && f.find("\r\n\r\n") == f.size() - 4);
  for (size_t at = 0; (at = f.find_first_of("\r\n", at)) != std::string::npos; at += 2)
    MV_ASSERT(f.compare(at, 2, "\r\n") == 0);
  size_t hosts = 0, lengths = 0;
  for (size_t at = f.find("\r\n"); at + 4 < f.size(); at = f.find("\r\n", at + 2)) {
    std::string name = f.substr(at + 2, f.find(':', at) - at - 2);
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    MV_ASSERT(!name.starts_with("proxy-") && name != "transfer-encoding");
    hosts += name == "host" ? 1 : 0;
    lengths += name == "content-length" ? 1 : 0;
  }
  MV_ASSERT(hosts == 1 && lengths <= 1 && (r.body == 0 || lengths == 1));
}

}  // namespace
}  // namespace macrovpn::shell

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace macrovpn::shell;
  const macrovpn::Bytes input(data, size);
  const HttpRequest r = read_http_request(input);
  MV_ASSERT(r.used <= size && r.used <= kMaxHttpHead + 4);
  if (r.parse == Parse::bad) MV_ASSERT(r.refusal.status >= 400 && r.refusal.sentence != nullptr);
  if (r.parse == Parse::more) MV_ASSERT(size < kMaxHttpHead);
  if (r.parse != Parse::done) return 0;
  MV_ASSERT(r.target.port != 0 && r.target.address.has_value() == r.target.name.empty() &&
            r.user.size() <= 255);
  if (r.kind == HttpRequest::Kind::forward) check_forwarded(r);
  // What follows a head changes nothing of how it is read.
  const HttpRequest alone = read_http_request(input.first(r.used));
  MV_ASSERT(alone.parse == Parse::done && alone.target == r.target && alone.forwarded == r.forwarded);
  return 0;
}
