// SPDX-License-Identifier: Apache-2.0
// `fairlead explain`: why a request went where it went, or where one would go, asked of a running
// gateway over its admin address. The table is the gateway's.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "commands.h"
#include "io/fleet/file_watch.h"
#include "io/net/buffer_pool.h"
#include "io/net/event_loop.h"
#include "io/net/http_fetch.h"

namespace fairlead::app {
namespace {

struct ExplainFlags {
  std::string admin = "127.0.0.1:9090";
  std::string request_id;
  std::string body;
  std::string path = "/v1/chat/completions";
};

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '-' || c == '_' || c == '.';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

Result<std::string> read_body(const std::string& file) {
  if (file != "-") return fleet::FileWatch::read_file(file);
  std::string text;
  char piece[16 * 1024];
  while (const std::size_t size = std::fread(piece, 1, sizeof piece, stdin)) {
    text.append(piece, size);
  }
  if (std::ferror(stdin) != 0) return fail(ErrorCode::kIo, "cannot read standard input");
  return text;
}

struct Reply {
  int status;
  std::string text;
};

Result<Reply> ask(const net::SocketAddress& address, const std::string& target,
                  const std::optional<std::string>& body) {
  auto loop = net::EventLoop::create();
  if (!loop) return tl::unexpected(loop.error());
  net::UpstreamPool pool(**loop, {});
  net::HttpFetch fetch(pool);
  (*loop)->run_turn(Duration{});
  std::optional<Result<Reply>> answer;
  const auto take = [&](const Result<net::FetchReply>& reply) {
    if (reply) {
      answer = Reply{reply->status, std::string(reply->body)};
    } else {
      answer = tl::unexpected(reply.error());
    }
  };
  net::FetchOptions options;
  options.timeout = std::chrono::seconds(10);
  if (body) {
    fetch.post(address, target, *body, options, take);
  } else {
    fetch.get(address, target, options, take);
  }
  while (!answer) (*loop)->run_turn(std::chrono::milliseconds(100));
  return *answer;
}

int explain(const ExplainFlags& flags) {
  const auto address = net::SocketAddress::parse(flags.admin);
  if (!address) return complain("--admin " + flags.admin + ": " + address.error().message, 2);
  std::string target = "/debug/explain?format=text&";
  std::optional<std::string> body;
  if (!flags.body.empty()) {
    auto read = read_body(flags.body);
    if (!read) return complain("--body: " + read.error().message, 2);
    body = std::move(*read);
    target += "path=" + escaped(flags.path);
  } else {
    target += "request_id=" + escaped(flags.request_id);
  }
  const auto reply = ask(*address, target, body);
  if (!reply) {
    return complain(reply.error().message +
                        "; is `fairlead serve` running, and is --admin its "
                        "admin address?",
                    1);
  }
  if (reply->status != 200) {
    std::string message = reply->text;
    while (message.ends_with('\n')) message.pop_back();
    return complain(
        message.empty() ? fmt::format("{}: status {}", flags.admin, reply->status) : message, 1);
  }
  std::fwrite(reply->text.data(), 1, reply->text.size(), stdout);
  return 0;
}

}  // namespace

Command add_explain(CLI::App& parent) {
  CLI::App* command = parent.add_subcommand(
      "explain", "Why a request went where it went, or would go: the decision row by row");
  auto flags = std::make_shared<ExplainFlags>();
  command->add_option("--admin", flags->admin, "HOST:PORT of the gateway's admin address")
      ->capture_default_str();
  CLI::Option* id = command->add_option(
      "request_id", flags->request_id, "As in the answer's x-request-id header and the access log");
  CLI::Option* body = command->add_option("--body", flags->body,
                                          "A request to place without sending it: file, or -");
  command->add_option("--path", flags->path, "Route of that request")
      ->needs(body)
      ->capture_default_str();
  id->excludes(body);
  command->footer(
      "Examples:\n"
      "  fairlead explain 0b0d1c1e-9d6c-4a1f-8f0b-6d1f0a3f7c55\n"
      "  fairlead explain --admin 127.0.0.1:9090 --body request.json\n"
      "  echo '{\"model\": \"m\", \"prompt\": \"Hi\"}' | fairlead explain --body - --path "
      "/v1/completions");
  return [flags, id, body] {
    if (id->count() + body->count() == 0) {
      return complain("name a request, or give one with --body; see fairlead explain --help", 2);
    }
    return explain(*flags);
  };
}

}  // namespace fairlead::app
