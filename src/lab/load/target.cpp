// SPDX-License-Identifier: Apache-2.0
#include "lab/load/target.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/codec/http1_write.h"

namespace fairlead::load {
namespace {

std::string quoted(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Result<Target> parse_target(std::string_view url) {
  std::string_view rest = url;
  constexpr std::string_view kScheme = "http://";
  if (rest.starts_with(kScheme)) {
    rest.remove_prefix(kScheme.size());
  } else if (rest.find("://") != rest.npos) {
    return fail(ErrorCode::kInvalidArgument, "target {}: only http:// is possible", url);
  }
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  Target target;
  target.host = std::string(rest.substr(0, slash));
  target.prefix = std::string(rest.substr(slash));
  while (target.prefix.ends_with('/')) target.prefix.pop_back();
  if (target.prefix.ends_with("/v1")) target.prefix.erase(target.prefix.size() - 3);
  const auto valid = [](char c) { return c > ' ' && c < '\x7f'; };
  if (!std::all_of(target.prefix.begin(), target.prefix.end(), valid)) {
    return fail(ErrorCode::kInvalidArgument, "target {}: the path has a space or control byte",
                url);
  }
  auto address = net::SocketAddress::parse(target.host);
  if (!address) return with_context(std::move(address.error()), fmt::format("target {}", url));
  target.address = *address;
  return target;
}

RequestWriter::RequestWriter(const Target& target, Api api, std::string_view model,
                             std::string_view api_key) {
  const bool chat = api == Api::kChat;
  codec::append_request_line(head_, "POST",
                             target.prefix + (chat ? "/v1/chat/completions" : "/v1/completions"));
  codec::append_header(head_, "host", target.host);
  codec::append_header(head_, "user-agent", "fairlead-load");
  codec::append_header(head_, "accept", "text/event-stream");
  codec::append_header(head_, "content-type", "application/json");
  if (!api_key.empty()) {
    codec::append_header(head_, "authorization", fmt::format("Bearer {}", api_key));
  }
  open_ = fmt::format("{{\"model\":{},{}", quoted(model),
                      chat ? "\"messages\":[{\"role\":\"user\",\"content\":\"" : "\"prompt\":\"");
  close_ = fmt::format(
      "\"{},\"stream\":true,\"stream_options\":{{\"include_usage\":true}},"
      "\"ignore_eos\":true,\"max_tokens\":",
      chat ? "}]" : "");
}

void RequestWriter::write(std::span<const PromptPart> prompt, std::uint32_t output_tokens,
                          std::string& head, std::string& body) const {
  body.assign(open_);
  append_prompt_text(prompt, body);
  body.append(close_);
  fmt::format_to(std::back_inserter(body), "{}}}", output_tokens);
  head.assign(head_);
  codec::append_length(head, body.size());
  codec::append_head_end(head);
}

}  // namespace fairlead::load
