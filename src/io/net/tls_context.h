// SPDX-License-Identifier: Apache-2.0
// TlsServerContext and TlsClientContext: what many TLS sessions share: a server's certificate and
// key, or whom a client trusts. TLS 1.2 and 1.3 with forward secrecy.
//
// reload() reads the files again; sessions that exist go on with what they began with, and with an
// error the old files stay in force. Errors name the file and what is wrong with it.
// Threads: thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/net/tls_self_signed.h"
#include "io/net/tls_session.h"

struct ssl_ctx_st;

namespace fairlead::net {

enum class Http2Offer : std::uint8_t {
  kNo,
  kYes,
  kOnly,  // Clients that offer protocols, but not this one, are refused (RFC 7301 §3.2).
};

struct TlsCertificate {
  std::string cert_file;
  std::string key_file;
};

// What a server takes beyond TLS 1.2 with good ciphers.
struct TlsRules {
  std::uint8_t min_minor = 2;  // TLS 1.x, 2 or 3.
  std::string ciphers{};       // Of TLS 1.2, as OpenSSL writes them; empty: ours.
  std::string client_ca{};     // PEM; clients need a certificate of these. Empty: they need none.
};

struct TlsIdentity {
  std::string cert_file;                // PEM, the server's certificate first, then its chain.
  std::string key_file;                 // PEM, not encrypted.
  Http2Offer http2 = Http2Offer::kYes;  // By ALPN.
  // For clients that ask (SNI) for a name which one of these has and the first does not; the
  // earlier one wins. Everybody else gets the first.
  std::vector<TlsCertificate> more{};
  TlsRules rules{};
};

enum class TlsVerify : std::uint8_t {
  kPeer,
  kNobody,  // Whoever answers is believed: for tests.
};

struct TlsTrust {
  std::string ca_file{};  // PEM; empty for the system's CAs.
  TlsVerify verify = TlsVerify::kPeer;
};

// The contexts' common part.
class TlsSettings {
 public:
  std::shared_ptr<ssl_ctx_st> get() const;
  void set(std::shared_ptr<ssl_ctx_st> next);

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<ssl_ctx_st> current_;  // Guarded by mutex_.
};

class TlsServerContext {
 public:
  static Result<std::shared_ptr<TlsServerContext>> create(const TlsIdentity& identity);
  // Has no files: reload() changes nothing.
  static Result<std::shared_ptr<TlsServerContext>> create(const TlsSelfSigned& identity,
                                                          Http2Offer http2,
                                                          const TlsRules& rules = {});
  [[nodiscard]] Result<void> reload();
  // nullptr without memory.
  std::unique_ptr<TlsSession> new_session() const;

 private:
  explicit TlsServerContext(TlsIdentity identity) : identity_(std::move(identity)) {}
  TlsIdentity identity_;
  TlsSettings settings_;
};

class TlsClientContext {
 public:
  static Result<std::shared_ptr<TlsClientContext>> create(const TlsTrust& trust);
  [[nodiscard]] Result<void> reload();
  // `name`: the server's, a DNS name or an address, told to it (SNI) and looked for in its
  // certificate. nullptr without memory.
  std::unique_ptr<TlsSession> new_session(std::string_view name) const;

 private:
  explicit TlsClientContext(TlsTrust trust) : trust_(std::move(trust)) {}
  TlsTrust trust_;
  TlsSettings settings_;
};

}  // namespace fairlead::net
