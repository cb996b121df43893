// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/testing/loop_client.h"

#include <algorithm>
#include <cctype>

namespace fairlead::engine {
namespace {

constexpr Duration kPatience = std::chrono::seconds(20);

}  // namespace

std::vector<std::string> ClientReply::events() const {
  constexpr std::string_view kData = "data: ";
  std::vector<std::string> out;
  std::string_view rest = body;
  for (;;) {
    if (rest.starts_with("event: ")) rest.remove_prefix(std::min(rest.find('\n') + 1, rest.size()));
    if (!rest.starts_with(kData)) break;
    const std::size_t end = rest.find("\n\n");
    if (end == std::string_view::npos) break;
    out.emplace_back(rest.substr(kData.size(), end - kData.size()));
    rest.remove_prefix(end + 2);
  }
  return out;
}

PendingCall::PendingCall(net::EventLoop& loop, net::UpstreamPool& pool, std::uint16_t port,
                         std::string_view method, std::string_view target, std::string_view body,
                         std::string_view headers)
    : loop_(loop), request_(pool, *this), body_(body), started_(loop.now()) {
  head_ = fmt::format("{} {} HTTP/1.1\r\nHost: engine\r\nContent-Length: {}\r\n{}\r\n", method,
                      target, body.size(), headers);
  net::UpstreamCall call;
  call.pieces[0] = head_;
  call.pieces[1] = body_;
  request_.start(net::SocketAddress::loopback(port), call);
}

void PendingCall::on_response_head(const codec::Http1ResponseHead& head) {
  reply_.status = head.status;
  for (const codec::Http1Header& header : head.headers) {
    std::string name(header.name);
    std::ranges::transform(name, name.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    reply_.head += fmt::format("{}: {}\n", name, header.value);
  }
}

void PendingCall::on_body(std::string_view, std::span<const std::string_view> payload) {
  if (reply_.body.empty() && !payload.empty()) reply_.first_byte = loop_.now() - started_;
  for (const std::string_view piece : payload) reply_.body += piece;
  reply_.pieces += payload.size();
}

void PendingCall::on_complete() {
  reply_.elapsed = loop_.now() - started_;
  done_ = true;
}

void PendingCall::on_failed(const net::UpstreamError& error) {
  reply_.failure = error.failure;
  on_complete();
}

ClientReply LoopClient::call(std::uint16_t port, std::string_view method, std::string_view target,
                             std::string_view body, std::string_view headers) {
  const auto pending = begin(port, method, target, body, headers);
  wait([&] { return pending->done(); });
  return pending->reply();
}

std::unique_ptr<PendingCall> LoopClient::begin(std::uint16_t port, std::string_view method,
                                               std::string_view target, std::string_view body,
                                               std::string_view headers) {
  // The loop's clock is as old as its last turn.
  loop_.run_turn(Duration::zero());
  return std::make_unique<PendingCall>(loop_, pool_, port, method, target, body, headers);
}

bool LoopClient::wait(const std::function<bool()>& condition) {
  const Time deadline = loop_.now() + kPatience;
  while (!condition()) {
    if (loop_.now() > deadline) return false;
    loop_.run_turn(std::chrono::milliseconds(10));
  }
  return true;
}

}  // namespace fairlead::engine
