#include "shell/tls/tls_stream.h"

#include <openssl/pem.h>
#include <sys/socket.h>

#include "shell/tls/openssl.h"

namespace macrovpn::shell::tls {
namespace {

constexpr unsigned char kAlpn[] = "\x08http/1.1";
constexpr unsigned kAlpnSize = sizeof kAlpn - 1;

// A client that offers other protocols only is served all the same, as by most servers.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in, unsigned in_size, void*) {
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, size, kAlpn, kAlpnSize, in, in_size) != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Pin pin_of(const X509* certificate) {
  Pin out{};
  unsigned size = 0;
  if (certificate != nullptr) X509_digest(certificate, EVP_sha256(), out.data(), &size);
  return out;
}

// Counts the peer's key updates where the connection has room for a number.
void on_message(int is_ours, int, int content, const void* message, size_t size, SSL* s, void*) {
  if (is_ours != 0 || content != SSL3_RT_HANDSHAKE || size == 0 || *static_cast<const uint8_t*>(message) != SSL3_MT_KEY_UPDATE) return;
  SSL_set_ex_data(s, 0, reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(SSL_get_ex_data(s, 0)) + 1));
}

Result<OwnedContext> make_context(const SSL_METHOD* method) {
  OwnedContext c(SSL_CTX_new(method));
  if (!c || SSL_CTX_set_min_proto_version(c.get(), TLS1_3_VERSION) != 1) return openssl_failure("cannot prepare TLS");
  SSL_CTX_set_mode(c.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  // Else a read goes on for as long as somebody says nothing, fast enough, and everybody else waits.
  SSL_CTX_clear_mode(c.get(), SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_msg_callback(c.get(), on_message);
  SSL_CTX_set_session_cache_mode(c.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(c.get(), SSL_VERIFY_NONE, nullptr);  // the pin decides, after the handshake
  return c;
}

}  // namespace

void Context::Free::operator()(ssl_ctx_st* c) const {
  SSL_CTX_free(c);
}
void Stream::Free::operator()(ssl_st* s) const {
  SSL_free(s);
}

Result<Context> Context::server(const std::string& pem) {
  TRY(OwnedContext c, make_context(TLS_server_method()));
  const OwnedBio for_key(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const OwnedBio for_certificate(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const OwnedKey key(PEM_read_bio_PrivateKey(for_key.get(), nullptr, nullptr, nullptr));
  const OwnedCertificate certificate(PEM_read_bio_X509(for_certificate.get(), nullptr, nullptr, nullptr));
  if (!key || !certificate || SSL_CTX_use_certificate(c.get(), certificate.get()) != 1 || SSL_CTX_use_PrivateKey(c.get(), key.get()) != 1)
    return openssl_failure("cannot use the certificate");
  SSL_CTX_set_alpn_select_cb(c.get(), choose_protocol, nullptr);
  Context out;
  out.context_.reset(c.release());
  return out;
}

Result<Context> Context::client() {
  TRY(OwnedContext c, make_context(TLS_client_method()));
  if (SSL_CTX_set_alpn_protos(c.get(), kAlpn, kAlpnSize) != 0) return openssl_failure("cannot prepare TLS");
  Context out;
  out.context_.reset(c.release());
  return out;
}

Pin Context::pin() const {
  return pin_of(SSL_CTX_get0_certificate(context_.get()));
}

Result<Stream> Stream::make(const Context& context, Fd socket) {
  Stream s;
  s.ssl_.reset(SSL_new(context.context_.get()));
  if (!s.ssl_ || SSL_set_fd(s.ssl_.get(), socket.get()) != 1) return openssl_failure("cannot begin TLS");
  s.fd_ = std::move(socket);
  return s;
}

Result<Stream> Stream::accept(const Context& context, Fd socket) {
  TRY(Stream s, make(context, std::move(socket)));
  SSL_set_accept_state(s.ssl_.get());
  return s;
}

Result<Stream> Stream::connect(const Context& context, Fd socket, const std::string& name) {
  TRY(Stream s, make(context, std::move(socket)));
  SSL_set_connect_state(s.ssl_.get());
  // What the macro SSL_set_tlsext_host_name() does, without its cast.
  std::string text = name;
  if (!name.empty() && SSL_ctrl(s.ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, text.data()) != 1)
    return openssl_failure("cannot begin TLS");
  return s;
}

Stream::Outcome Stream::judge(int returned) const {
  switch (SSL_get_error(ssl_.get(), returned)) {
    case SSL_ERROR_NONE:
      return Outcome::done;
    case SSL_ERROR_WANT_READ:
      return Outcome::wants_read;
    case SSL_ERROR_WANT_WRITE:
      return Outcome::wants_write;
    default:
      ERR_clear_error();
      return Outcome::ended;
  }
}

Stream::Outcome Stream::shake_hands() {
  ERR_clear_error();
  return judge(SSL_do_handshake(ssl_.get()));
}

Pin Stream::peer_pin() const {
  return pin_of(SSL_get0_peer_certificate(ssl_.get()));
}

ByteArray<32> Stream::exporter(std::string_view label) const {
  ByteArray<32> out{};
  MV_ASSERT(SSL_export_keying_material(ssl_.get(), out.data(), out.size(), label.data(), label.size(), nullptr, 0, 0) == 1);
  return out;
}

Stream::Outcome Stream::read(MutBytes into, size_t& n) {
  ERR_clear_error();
  n = 0;
  const Outcome o = judge(SSL_read_ex(ssl_.get(), into.data(), into.size(), &n));
  return reinterpret_cast<uintptr_t>(SSL_get_ex_data(ssl_.get(), 0)) > kMostKeyUpdates ? Outcome::ended : o;
}

Stream::Outcome Stream::write(Bytes from, size_t& n) {
  ERR_clear_error();
  n = 0;
  return judge(SSL_write_ex(ssl_.get(), from.data(), from.size(), &n));
}

void Stream::close() {
  ERR_clear_error();
  if (SSL_is_init_finished(ssl_.get())) SSL_shutdown(ssl_.get());
  ERR_clear_error();
  shutdown(fd_.get(), SHUT_WR);
}

}  // namespace macrovpn::shell::tls
