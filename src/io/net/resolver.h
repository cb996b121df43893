// SPDX-License-Identifier: Apache-2.0
// Resolver and Lookup: the addresses of a host name, without blocking: /etc/hosts first, then A and
// AAAA from the name servers of /etc/resolv.conf, with its search list.
//
//   Lookup lookup(resolver);  // A member; one name at a time.
//   lookup.start("engine-0.engines.svc", [this](const LookupResult& result) { ... });
//
// Bounds: lookups_max at a time, `timeout` each, kAddressesMax addresses. Every lookup reads the
// configuration files anew and has sockets of its own, so that a changed resolv.conf needs no
// restart and an answer cannot be guessed from an earlier one's port. Nothing is cached: when to
// ask again is the caller's decision. Errors: LookupFailure. Threads: the loop's thread. Library:
// c-ares.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "io/net/timer.h"

namespace fairlead::net {

class EventLoop;

struct ResolverOptions {
  std::string servers{};  // "127.0.0.1:5353,[::1]:53"; empty: those of /etc/resolv.conf.
  Duration timeout = std::chrono::seconds(5);
  std::size_t lookups_max = 64;
};

enum class LookupFailure : std::uint8_t {
  kNotFound,   // No such name, or one without an address.
  kTimeout,    // No name server answered in time.
  kServer,     // The name servers failed or refused.
  kMalformed,  // An answer that cannot be read.
  kLocal,      // lookups_max are out, or this process lacks memory or descriptors.
};
std::string_view to_string(LookupFailure failure);

struct HostAddresses {
  std::vector<std::string> addresses;  // At least one; IPv4 first, then by their bytes.
  Duration ttl{};                      // The shortest among the records; 0 from /etc/hosts.
  bool partial = false;  // Addresses may be missing: a family could not be asked, or too many.
};
using LookupResult = tl::expected<HostAddresses, LookupFailure>;

class Resolver {
 public:
  static constexpr std::size_t kAddressesMax = 64;

  explicit Resolver(EventLoop& loop, ResolverOptions options = {});
  std::size_t active() const { return active_; }

 private:
  friend class Lookup;
  EventLoop& loop_;
  ResolverOptions options_;
  std::size_t active_ = 0;
};

class Lookup {
 public:
  using Callback = std::function<void(const LookupResult&)>;

  explicit Lookup(Resolver& resolver);
  ~Lookup();
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

  // Only while not active(). The callback never runs inside start() and may call it again.
  void start(const std::string& host, Callback callback);
  bool active() const { return static_cast<bool>(callback_); }
  void cancel();

 private:
  class Query;
  void on_timer();
  void schedule();

  Resolver& resolver_;
  std::unique_ptr<Query> query_;  // Null when lookups_max were out.
  Timer timer_;
  Time deadline_;
  Callback callback_;
};

}  // namespace fairlead::net
