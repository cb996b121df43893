// SPDX-License-Identifier: Apache-2.0
#include "io/net/tls_session.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace fairlead::net {
namespace {

// Ciphertext kept before the socket is asked; four full records.
constexpr std::size_t kUnsentMax = 64 * 1024;
constexpr std::size_t kRecordBytes = 16 * 1024;

}  // namespace

std::string_view to_string(TlsFailure failure) {
  switch (failure) {
    case TlsFailure::kNotTls:
      return "not_tls";
    case TlsFailure::kNoCommonTerms:
      return "no_common_terms";
    case TlsFailure::kUntrusted:
      return "untrusted";
    case TlsFailure::kExpired:
      return "expired";
    case TlsFailure::kWrongName:
      return "wrong_name";
    case TlsFailure::kPeerRefused:
      return "peer_refused";
    case TlsFailure::kPeerClosed:
      return "peer_closed";
    case TlsFailure::kTimeout:
      return "timeout";
    case TlsFailure::kOther:
      return "other";
  }
  return "unknown";
}

TlsFigures& TlsFigures::operator+=(const TlsFigures& other) {
  done += other.done;
  for (std::size_t i = 0; i < failed.size(); ++i) failed[i] += other.failed[i];
  return *this;
}

// OpenSSL's own socket BIO writes with write(2), which raises SIGPIPE.
struct TlsSession::Bio {
  static TlsSession& self(BIO* bio) { return *static_cast<TlsSession*>(BIO_get_data(bio)); }

  static int write(BIO* bio, const char* bytes, int size) {
    TlsSession& session = self(bio);
    const auto count = static_cast<std::size_t>(size);
    session.pool_->grow(session.out_, count);
    session.out_.append({bytes, count});
    return size;
  }

  static int read(BIO* bio, char* into, int size) {
    TlsSession& session = self(bio);
    BIO_clear_retry_flags(bio);
    ssize_t got = 0;
    do {
      got = ::recv(session.fd_, into, static_cast<std::size_t>(size), 0);
    } while (got < 0 && errno == EINTR);
    session.socket_empty_ = got < size;
    if (got == 0) session.at_end_ = true;
    if (got >= 0) return static_cast<int>(got);
    if (errno == EAGAIN) {
      BIO_set_retry_read(bio);
    } else {
      session.socket_error_ = errno;
    }
    return -1;
  }

  static long control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP ? 1 : 0;
  }

  static int create(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  }
};

void TlsSession::FreeSsl::operator()(ssl_st* ssl) const { SSL_free(ssl); }
void TlsSession::FreeMethod::operator()(bio_method_st* method) const { BIO_meth_free(method); }

TlsSession::TlsSession(ssl_st* ssl, std::shared_ptr<const void> context)
    : context_(std::move(context)), ssl_(ssl) {}
TlsSession::~TlsSession() = default;

bool TlsSession::attach(int fd, BufferPool& pool) {
  fd_ = fd;
  pool_ = &pool;
  method_.reset(BIO_meth_new(BIO_TYPE_SOURCE_SINK, "non-blocking socket"));
  if (!method_ || BIO_meth_set_write(method_.get(), &Bio::write) != 1 ||
      BIO_meth_set_read(method_.get(), &Bio::read) != 1 ||
      BIO_meth_set_ctrl(method_.get(), &Bio::control) != 1 ||
      BIO_meth_set_create(method_.get(), &Bio::create) != 1) {
    return false;
  }
  BIO* const bio = BIO_new(method_.get());
  if (bio == nullptr) return false;
  BIO_set_data(bio, this);
  SSL_set_bio(ssl_.get(), bio, bio);
  return true;
}

TlsSession::Step TlsSession::handshake() {
  ERR_clear_error();
  const int done = SSL_do_handshake(ssl_.get());
  if (done == 1) {
    established_ = true;
    return Step::kDone;
  }
  const int error = SSL_get_error(ssl_.get(), done);
  if (error == SSL_ERROR_WANT_READ) return Step::kWait;
  failure_ = classify(error);
  return Step::kFailed;
}

TlsFailure TlsSession::classify(int error) const {
  switch (SSL_get_verify_result(ssl_.get())) {
    case X509_V_OK:
      break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return TlsFailure::kExpired;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return TlsFailure::kWrongName;
    default:
      return TlsFailure::kUntrusted;
  }
  if (error == SSL_ERROR_SYSCALL || at_end_) return TlsFailure::kPeerClosed;
  const int reason = ERR_GET_REASON(ERR_peek_last_error());
  switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_BAD_RECORD_TYPE:
      return TlsFailure::kNotTls;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return TlsFailure::kNoCommonTerms;
    default:
      return reason >= SSL_AD_REASON_OFFSET ? TlsFailure::kPeerRefused : TlsFailure::kOther;
  }
}

ssize_t TlsSession::read(std::span<char> into) {
  ERR_clear_error();
  std::size_t got = 0;
  const int done = SSL_read_ex(ssl_.get(), into.data(), into.size(), &got);
  if (done == 1) return static_cast<ssize_t>(got);
  switch (SSL_get_error(ssl_.get(), done)) {
    case SSL_ERROR_ZERO_RETURN:
      return 0;
    case SSL_ERROR_WANT_READ:
      errno = EAGAIN;
      return -1;
    default:
      // An end that nobody announced could be an attacker's.
      broken_ = true;
      errno = socket_error_ != 0 ? socket_error_ : ECONNRESET;
      return -1;
  }
}

bool TlsSession::may_have_bytes() const {
  return !socket_empty_ || SSL_has_pending(ssl_.get()) == 1;
}

std::size_t TlsSession::write(std::string_view plain) {
  std::size_t taken = 0;
  while (taken < plain.size() && out_.size() < kUnsentMax && !broken_) {
    ERR_clear_error();
    std::size_t wrote = 0;
    const std::string_view record = plain.substr(taken, kRecordBytes);
    if (SSL_write_ex(ssl_.get(), record.data(), record.size(), &wrote) != 1) broken_ = true;
    taken += wrote;
  }
  return taken;
}

void TlsSession::close_notify() {
  if (!established_ || broken_ || std::exchange(closed_, true)) return;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
}

bool TlsSession::flush() {
  while (!out_.empty()) {
    const std::string_view bytes = out_.view();
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    out_.consume(static_cast<std::size_t>(sent));
    if (!out_.empty()) {
      errno = EAGAIN;
      return false;
    }
  }
  out_.release();
  return true;
}

}  // namespace fairlead::net
