// SPDX-License-Identifier: Apache-2.0
// TlsSession: TLS on one connected, non-blocking socket, behind TcpStream; TlsServerContext and
// TlsClientContext make it.
//
// Ciphertext to send gathers in a pooled buffer and leaves in one call, so that OpenSSL never waits
// for the socket to take bytes, and a write never has to be repeated with the same memory. An idle
// session holds no buffers. Everything the peer does wrong in a handshake has a TlsFailure.
// Threads: the loop's thread. Source: RFC 8446; ssl(7).
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "io/net/buffer_pool.h"

struct ssl_st;
struct bio_method_st;

namespace fairlead::net {

enum class TlsFailure : std::uint8_t {
  kNotTls,         // Plain text on a TLS port, or the other way round.
  kNoCommonTerms,  // Of version, cipher or application protocol.
  kUntrusted,      // The peer's certificate has no chain to a CA that we trust.
  kExpired,        // Or not valid yet.
  kWrongName,      // The certificate is another server's.
  kPeerRefused,    // The peer sent an alert, for instance because it does not trust us.
  kPeerClosed,
  kTimeout,
  kOther,
};
inline constexpr std::size_t kTlsFailureCount = 9;
std::string_view to_string(TlsFailure failure);  // snake_case, a metric label.

// Handshakes, cumulative.
struct TlsFigures {
  std::uint64_t done = 0;
  std::array<std::uint64_t, kTlsFailureCount> failed{};  // By TlsFailure.

  void count(TlsFailure failure) { ++failed[static_cast<std::size_t>(failure)]; }
  TlsFigures& operator+=(const TlsFigures& other);
};

class TlsSession {
 public:
  enum class Step : std::uint8_t { kDone, kWait, kFailed };

  // Takes over `ssl`, which has its role and its peer's name, and keeps what it was made of.
  TlsSession(ssl_st* ssl, std::shared_ptr<const void> context);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // Before anything else; `pool` outlives the session. Fails only without memory.
  [[nodiscard]] bool attach(int fd, BufferPool& pool);

  // Goes on as far as the bytes received allow. What it has to send waits for flush().
  Step handshake();
  bool established() const { return established_; }
  TlsFailure failure() const { return failure_; }  // After kFailed.

  // As recv(2): 0 when the peer said that it is done; an end without that is ECONNRESET.
  ssize_t read(std::span<char> into);
  // Whether read() may find more without another event of the socket.
  bool may_have_bytes() const;

  // Encrypts from the front of `plain`; returns the bytes taken, fewer than all only when
  // unsent() has reached its bound, or with `broken()`.
  std::size_t write(std::string_view plain);
  void close_notify();
  // Sends what waits. True when nothing is left; else errno says why.
  bool flush();
  std::size_t unsent() const { return out_.size(); }
  bool broken() const { return broken_; }

 private:
  struct Bio;  // The callbacks of its BIO.
  struct FreeSsl {
    void operator()(ssl_st* ssl) const;
  };
  struct FreeMethod {
    void operator()(bio_method_st* method) const;
  };

  TlsFailure classify(int error) const;

  std::shared_ptr<const void> context_;
  std::unique_ptr<bio_method_st, FreeMethod> method_;
  std::unique_ptr<ssl_st, FreeSsl> ssl_;
  BufferPool* pool_ = nullptr;
  int fd_ = -1;
  Buffer out_;
  TlsFailure failure_ = TlsFailure::kOther;
  bool established_ = false;
  bool socket_empty_ = false;  // The last recv took all there was.
  bool at_end_ = false;        // The socket's end.
  bool broken_ = false;
  bool closed_ = false;  // close_notify is sent.
  int socket_error_ = 0;
};

}  // namespace fairlead::net
