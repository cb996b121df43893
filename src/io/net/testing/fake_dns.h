// SPDX-License-Identifier: Apache-2.0
// FakeDns: for tests of this room and of those above: a name server over UDP on a loopback port of
// its own that answers as a test says. RFC 1035 section 4. Errors: asserted. Threads: the loop's.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "io/net/event_loop.h"
#include "io/net/socket.h"

namespace fairlead::net::testing {

class FakeDns final : private FdHandler {
 public:
  enum class Mood { kHonest, kSilent, kServerFailure, kGarbage, kTruncatedRecord };

  explicit FakeDns(EventLoop& loop)
      : loop_(loop), fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    const SocketAddress any = SocketAddress::loopback(0);
    FAIRLEAD_ASSERT(::bind(fd_.get(), any.get(), any.size()) == 0);
    FAIRLEAD_ASSERT(loop_.add(fd_.get(), EPOLLIN, *this).has_value());
  }
  ~FakeDns() { loop_.remove(fd_.get(), *this); }
  FakeDns(const FakeDns&) = delete;
  FakeDns& operator=(const FakeDns&) = delete;

  std::string server() const { return local_address(fd_.get())->to_string(); }
  int asked() const { return asked_; }

  std::map<std::string, std::vector<std::string>, std::less<>> names;  // To IPv4 and IPv6 texts.
  std::uint32_t ttl = 60;
  Mood mood = Mood::kHonest;
  Mood mood_v6 = Mood::kHonest;  // For AAAA, while `mood` is honest.

 private:
  static void append16(std::string& out, std::size_t value) {
    out += static_cast<char>(value >> 8 & 0xFF);
    out += static_cast<char>(value & 0xFF);
  }

  void on_events(std::uint32_t) override {
    std::array<char, 512> query{};
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const auto got = ::recvfrom(fd_.get(), query.data(), query.size(), 0,
                                reinterpret_cast<sockaddr*>(&from), &size);
    if (got < 17) return;
    ++asked_;
    const std::string reply = answer({query.data(), static_cast<std::size_t>(got)});
    if (reply.empty()) return;
    ::sendto(fd_.get(), reply.data(), reply.size(), 0, reinterpret_cast<const sockaddr*>(&from),
             size);
  }

  std::string answer(std::string_view query) const {
    std::string name;
    std::size_t at = 12;
    for (std::size_t label = 0; (label = static_cast<unsigned char>(query[at])) != 0;) {
      name += (name.empty() ? "" : ".") + std::string(query.substr(at + 1, label));
      at += label + 1;
    }
    const bool wants_v6 = query[at + 2] == 28;
    const std::string_view question = query.substr(12, at + 5 - 12);
    const Mood now = mood == Mood::kHonest && wants_v6 ? mood_v6 : mood;
    if (now == Mood::kSilent) return "";
    if (now == Mood::kGarbage) return std::string(40, '\xC0');
    const auto known = names.find(name);
    std::string records;
    std::size_t count = 0;
    if (known != names.end()) {
      for (const std::string& address : known->second) {
        if ((address.find(':') != std::string::npos) != wants_v6) continue;
        ++count;
        append_record(records, address, wants_v6);
      }
    }
    if (now == Mood::kTruncatedRecord) records.resize(records.size() / 2);
    const int code = now == Mood::kServerFailure ? 2 : known == names.end() ? 3 : 0;
    std::string reply(query.substr(0, 2));
    append16(reply, 0x8180U | static_cast<unsigned>(code));
    append16(reply, 1);
    append16(reply, code == 0 ? count : 0);
    append16(reply, 0);
    append16(reply, 0);
    reply += question;
    if (code == 0) reply += records;
    return reply;
  }

  void append_record(std::string& out, const std::string& address, bool is_v6) const {
    append16(out, 0xC00C);  // The question's name.
    append16(out, is_v6 ? 28 : 1);
    append16(out, 1);
    append16(out, ttl >> 16);
    append16(out, ttl & 0xFFFF);
    const std::size_t size = is_v6 ? 16 : 4;
    append16(out, size);
    std::array<char, 16> bytes{};
    FAIRLEAD_ASSERT(inet_pton(is_v6 ? AF_INET6 : AF_INET, address.c_str(), bytes.data()) == 1);
    out.append(bytes.data(), size);
  }

  EventLoop& loop_;
  UniqueFd fd_;
  int asked_ = 0;
};

}  // namespace fairlead::net::testing
