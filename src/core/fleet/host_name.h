// SPDX-License-Identifier: Apache-2.0
// HostName: the one address behind an endpoint's host name, and when to ask for it again.
//
// An endpoint is one engine, because its cache is what requests are routed by; so of several
// addresses one is used: the address in use for as long as the name has it, else the first. When
// the name stops resolving the last known address stays in use. Answers are asked for again after
// their TTL, within kTtlMin and kTtlMax, after a failure after kRetry. Pure; thread-compatible.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace fairlead::fleet {

struct NameAnswer {
  std::vector<std::string> addresses;  // Literal; empty: the lookup failed.
  Duration ttl{};
  bool partial = false;  // Addresses may be missing: no reason to leave the one in use.
  std::string_view why;  // The lookup failed, in words.
};

class HostName {
 public:
  static constexpr Duration kTtlMin = std::chrono::seconds(5);
  static constexpr Duration kTtlMax = std::chrono::minutes(5);
  static constexpr Duration kRetry = kTtlMin;

  explicit HostName(std::string host) : host_(std::move(host)) {}

  // When to ask next; Time::max() while an answer is awaited.
  Time next() const { return asked_ ? Time::max() : next_; }
  bool asked() const { return asked_; }
  void ask() { asked_ = true; }
  // The engine is gone from its address: asks as soon as kTtlMin allows.
  void doubt(Time now);
  void on_answer(const NameAnswer& answer, Time now);

  const std::string& address() const { return address_; }  // Empty until the first answer.
  // What an operator should know, in words; empty when all is well.
  const std::string& trouble() const { return trouble_; }

 private:
  std::string host_;
  std::string address_;
  std::string trouble_;
  Time next_{};
  Time answered_{};
  bool asked_ = false;
};

}  // namespace fairlead::fleet
