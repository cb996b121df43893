// SPDX-License-Identifier: Apache-2.0
#include "io/net/tls_context.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <system_error>
#include <utility>

namespace fairlead::net {
namespace {

// Forward secrecy and authenticated encryption only; TLS 1.3 has nothing else.
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr std::size_t kReadBytes = 64 * 1024;
// As on the wire: each name after its length (RFC 7301).
constexpr std::string_view kHttp1Names = "\x08http/1.1";
constexpr std::string_view kHttp2Names = "\x02h2\x08http/1.1";
constexpr std::string_view kHttp2OnlyNames = "\x02h2";

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string last_reason() {
  // A file that is not there is the first of several.
  if (const unsigned long first = ERR_peek_error(); ERR_SYSTEM_ERROR(first)) {
    return std::generic_category().message(ERR_GET_REASON(first));
  }
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  return reason == nullptr ? "it cannot be read" : reason;
}

// An encrypted key must not make the program ask a terminal.
int no_password(char*, int, int, void*) { return 0; }

// A client that offers nothing in common is served HTTP/1.1 all the same, as it would be without
// ALPN, where there is HTTP/1.1.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                    const unsigned char* offered, unsigned int offered_size, void* names) {
  const auto& ours = *static_cast<const std::string_view*>(names);
  unsigned char* found = nullptr;
  const int result =
      SSL_select_next_proto(&found, chosen_size, bytes_of(ours),
                            static_cast<unsigned int>(ours.size()), offered, offered_size);
  if (result != OPENSSL_NPN_NEGOTIATED) {
    return &ours == &kHttp2OnlyNames ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
  }
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

std::shared_ptr<SSL_CTX> new_context(const SSL_METHOD* method) {
  ERR_clear_error();
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(method), SSL_CTX_free);
  if (!context) return nullptr;
  SSL_CTX* const raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(raw, kCiphers);
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS);
  // Whole records in one recv.
  SSL_CTX_set_read_ahead(raw, 1);
  SSL_CTX_set_default_read_buffer_len(raw, kReadBytes);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_default_passwd_cb(raw, &no_password);
  return context;
}

const std::string_view& names_of(Http2Offer http2) {
  switch (http2) {
    case Http2Offer::kNo:
      break;
    case Http2Offer::kYes:
      return kHttp2Names;
    case Http2Offer::kOnly:
      return kHttp2OnlyNames;
  }
  return kHttp1Names;
}

// Whoever has no certificate of these CAs is refused in the handshake.
Result<void> ask_for_certificates(SSL_CTX* context, const std::string& ca_file) {
  constexpr std::string_view kSessions = "fairlead";
  STACK_OF(X509_NAME)* const names = SSL_load_client_CA_file(ca_file.c_str());
  if (names == nullptr || SSL_CTX_load_verify_file(context, ca_file.c_str()) != 1) {
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    return fail(ErrorCode::kInvalidArgument, "{}: no CA certificates in PEM form: {}", ca_file,
                last_reason());
  }
  SSL_CTX_set_client_CA_list(context, names);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  // Without it no session that was verified may be resumed.
  SSL_CTX_set_session_id_context(context, bytes_of(kSessions), kSessions.size());
  return {};
}

Result<void> set_up_server(SSL_CTX* context, Http2Offer http2, const TlsRules& rules) {
  if (rules.min_minor >= 3) SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  if (!rules.ciphers.empty() && SSL_CTX_set_cipher_list(context, rules.ciphers.c_str()) != 1) {
    return fail(ErrorCode::kInvalidArgument, "TLS: no cipher among {}: {}", rules.ciphers,
                last_reason());
  }
  SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_alpn_select_cb(context, &choose_protocol,
                             const_cast<std::string_view*>(&names_of(http2)));
  if (!rules.client_ca.empty()) return ask_for_certificates(context, rules.client_ca);
  return {};
}

Result<std::shared_ptr<SSL_CTX>> context_of(const TlsSelfSigned& identity, Http2Offer http2,
                                            const TlsRules& rules) {
  auto context = new_context(TLS_server_method());
  if (!context || SSL_CTX_use_certificate(context.get(), identity.certificate.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context.get(), identity.key.get()) != 1) {
    return fail(ErrorCode::kUnavailable, "TLS: {}", last_reason());
  }
  if (auto set = set_up_server(context.get(), http2, rules); !set) {
    return tl::unexpected(set.error());
  }
  return context;
}

Result<std::shared_ptr<SSL_CTX>> context_of(const TlsCertificate& identity, Http2Offer http2,
                                            const TlsRules& rules) {
  auto context = new_context(TLS_server_method());
  if (!context) return fail(ErrorCode::kUnavailable, "TLS: {}", last_reason());
  SSL_CTX* const raw = context.get();
  if (SSL_CTX_use_certificate_chain_file(raw, identity.cert_file.c_str()) != 1) {
    return fail(ErrorCode::kInvalidArgument, "{}: no certificate in PEM form: {}",
                identity.cert_file, last_reason());
  }
  if (SSL_CTX_use_PrivateKey_file(raw, identity.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return fail(ErrorCode::kInvalidArgument,
                "{}: no unencrypted key in PEM form that fits the certificate in {}: {}",
                identity.key_file, identity.cert_file, last_reason());
  }
  if (auto set = set_up_server(raw, http2, rules); !set) return tl::unexpected(set.error());
  return context;
}

// A server's certificates, the one for everybody first. Its sessions keep it.
struct ServerContexts {
  std::vector<std::shared_ptr<SSL_CTX>> all;
};

bool has_name(const SSL_CTX* context, const char* name) {
  X509* const certificate = SSL_CTX_get0_certificate(context);
  return X509_check_host(certificate, name, 0, 0, nullptr) == 1;
}

// Chooses by the name that the client asks for. A name that none has is no reason to refuse: the
// client knows what it wants to believe.
int choose_certificate(SSL* ssl, int*, void* contexts) {
  const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  for (const auto& context : static_cast<const ServerContexts*>(contexts)->all) {
    if (!has_name(context.get(), name)) continue;
    SSL_set_SSL_CTX(ssl, context.get());
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

Result<std::shared_ptr<SSL_CTX>> server_context(const TlsIdentity& identity) {
  auto first = context_of(TlsCertificate{identity.cert_file, identity.key_file}, identity.http2,
                          identity.rules);
  if (!first || identity.more.empty()) return first;
  auto contexts = std::make_shared<ServerContexts>();
  contexts->all.push_back(std::move(*first));
  for (const TlsCertificate& certificate : identity.more) {
    auto next = context_of(certificate, identity.http2, identity.rules);
    if (!next) return next;
    contexts->all.push_back(std::move(*next));
  }
  SSL_CTX* const raw = contexts->all.front().get();
  SSL_CTX_set_tlsext_servername_callback(raw, &choose_certificate);
  SSL_CTX_set_tlsext_servername_arg(raw, contexts.get());
  return std::shared_ptr<SSL_CTX>(contexts, raw);
}

Result<std::shared_ptr<SSL_CTX>> client_context(const TlsTrust& trust) {
  auto context = new_context(TLS_client_method());
  if (!context) return fail(ErrorCode::kUnavailable, "TLS: {}", last_reason());
  SSL_CTX* const raw = context.get();
  SSL_CTX_set_alpn_protos(raw, bytes_of(kHttp1Names),
                          static_cast<unsigned int>(kHttp1Names.size()));
  if (trust.verify == TlsVerify::kNobody) {
    SSL_CTX_set_verify(raw, SSL_VERIFY_NONE, nullptr);
    return context;
  }
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  if (trust.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(raw);
  } else if (SSL_CTX_load_verify_file(raw, trust.ca_file.c_str()) != 1) {
    return fail(ErrorCode::kInvalidArgument, "{}: no CA certificates in PEM form: {}",
                trust.ca_file, last_reason());
  }
  return context;
}

bool is_address(const std::string& name) {
  std::array<unsigned char, sizeof(in6_addr)> space;
  return inet_pton(AF_INET, name.c_str(), space.data()) == 1 ||
         inet_pton(AF_INET6, name.c_str(), space.data()) == 1;
}

}  // namespace

std::shared_ptr<ssl_ctx_st> TlsSettings::get() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

void TlsSettings::set(std::shared_ptr<ssl_ctx_st> next) {
  const std::lock_guard lock(mutex_);
  current_.swap(next);
}

Result<std::shared_ptr<TlsServerContext>> TlsServerContext::create(const TlsIdentity& identity) {
  std::shared_ptr<TlsServerContext> context(new TlsServerContext(identity));
  if (auto loaded = context->reload(); !loaded) return tl::unexpected(loaded.error());
  return context;
}

Result<std::shared_ptr<TlsServerContext>> TlsServerContext::create(const TlsSelfSigned& identity,
                                                                   Http2Offer http2,
                                                                   const TlsRules& rules) {
  auto made = context_of(identity, http2, rules);
  if (!made) return tl::unexpected(made.error());
  std::shared_ptr<TlsServerContext> context(new TlsServerContext(TlsIdentity{}));
  context->settings_.set(std::move(*made));
  return context;
}

Result<void> TlsServerContext::reload() {
  if (identity_.cert_file.empty() && settings_.get()) return {};
  auto next = server_context(identity_);
  if (!next) return tl::unexpected(next.error());
  settings_.set(std::move(*next));
  return {};
}

std::unique_ptr<TlsSession> TlsServerContext::new_session() const {
  auto context = settings_.get();
  SSL* const ssl = SSL_new(context.get());
  if (ssl == nullptr) return nullptr;
  SSL_set_accept_state(ssl);
  return std::make_unique<TlsSession>(ssl, std::move(context));
}

Result<std::shared_ptr<TlsClientContext>> TlsClientContext::create(const TlsTrust& trust) {
  std::shared_ptr<TlsClientContext> context(new TlsClientContext(trust));
  if (auto loaded = context->reload(); !loaded) return tl::unexpected(loaded.error());
  return context;
}

Result<void> TlsClientContext::reload() {
  auto next = client_context(trust_);
  if (!next) return tl::unexpected(next.error());
  settings_.set(std::move(*next));
  return {};
}

std::unique_ptr<TlsSession> TlsClientContext::new_session(std::string_view name) const {
  auto context = settings_.get();
  SSL* const ssl = SSL_new(context.get());
  if (ssl == nullptr) return nullptr;
  auto session = std::make_unique<TlsSession>(ssl, std::move(context));
  SSL_set_connect_state(ssl);
  const std::string server(name);
  bool named = false;
  if (is_address(server)) {
    named = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), server.c_str()) == 1;
  } else {
    named = SSL_set_tlsext_host_name(ssl, server.c_str()) == 1 &&
            SSL_set1_host(ssl, server.c_str()) == 1;
  }
  // A session that would believe in any name is worse than none.
  return named ? std::move(session) : nullptr;
}

}  // namespace fairlead::net
