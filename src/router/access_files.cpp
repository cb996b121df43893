// SPDX-License-Identifier: Apache-2.0
#include "router/access_files.h"

#include <utility>

#include "core/access/keys_file.h"

namespace fairlead::router {
namespace {

std::uint64_t requests_of(const access::Key& key, access::Refusal refusal) {
  return refusal == access::Refusal::kNone ? key.usage->figures().admitted
                                           : key.usage->refused(refusal);
}

bool was_used(const access::Key& key) {
  for (std::size_t i = 0; i < access::kRefusalCount; ++i) {
    if (requests_of(key, static_cast<access::Refusal>(i)) > 0) return true;
  }
  return false;
}

}  // namespace

AccessFiles::AccessFiles(Router& router, net::EventLoop& loop, OnEngineKey on_engine_key)
    : router_(router),
      loop_(loop),
      on_engine_key_(std::move(on_engine_key)),
      keys_loads_(load_counters("keys")),
      engine_key_loads_(load_counters("engine_key")) {}

AccessFiles::LoadCounters AccessFiles::load_counters(const char* file) {
  const auto loads = [&](const char* result) {
    return &router_.metrics().counter(
        "fairlead_access_file_loads_total",
        "Changes of the keys file and the engine key's file, by whether they were taken over.",
        {{"file", file}, {"result", result}});
  };
  return {loads("ok"), loads("failed")};
}

Result<AccessFiles::File> AccessFiles::open(const std::string& path, Place place, Take take,
                                            const LoadCounters& loads) {
  auto file = fleet::WatchedFiles::open(loop_, {path}, [this, place, take, &loads] {
    on_change((this->*place)->text(0), take, loads);
  });
  if (!file) return tl::unexpected(file.error());
  if (const auto& text = (*file)->text(0); !text) return tl::unexpected(text.error());
  return file;
}

Result<AccessFiles::Sources> AccessFiles::read(const config::ServeSettings& settings) {
  Sources sources;
  if (const std::string& path = settings.access.keys_file; !path.empty()) {
    auto file = open(path, &AccessFiles::keys_file_, &AccessFiles::take_keys, keys_loads_);
    if (!file) return with_context(file.error(), "access.keysFile");
    config::Problems problems;
    sources.keys = access::parse_keys_file(*(*file)->text(0), path, problems);
    if (!sources.keys) {
      return fail(ErrorCode::kInvalidArgument, "access.keysFile: {}", problems.to_string());
    }
    sources.keys_file = std::move(*file);
  }
  if (const std::string& path = settings.fleet.engine_key_file; !path.empty()) {
    auto file = open(path, &AccessFiles::engine_key_file_, &AccessFiles::take_engine_key,
                     engine_key_loads_);
    if (!file) return with_context(file.error(), "fleet.engineKeyFile");
    auto authorization = access::engine_authorization(*(*file)->text(0));
    if (!authorization) {
      return with_context(authorization.error(), "fleet.engineKeyFile: " + path);
    }
    sources.engine_authorization = std::move(*authorization);
    sources.engine_key_file = std::move(*file);
  }
  return sources;
}

void AccessFiles::adopt(Sources sources) {
  keys_file_ = std::move(sources.keys_file);
  engine_key_file_ = std::move(sources.engine_key_file);
  access::AccessRules next;
  if (sources.keys) {
    router_.tell(LogLevel::kInfo, "{}: {} keys", keys_file_->path(0), sources.keys->size());
    next.keys = access::KeyTable(std::move(*sources.keys), router_.access().load()->keys);
  }
  next.engine_authorization = std::move(sources.engine_authorization);
  on_engine_key_(next.engine_authorization);
  publish(std::move(next));
}

void AccessFiles::on_change(const Result<std::string>& text, Take take, const LoadCounters& loads) {
  const Result<void> taken = text ? (this->*take)(*text) : tl::unexpected(text.error());
  (taken ? loads.taken : loads.refused)->add();
  if (!taken) router_.tell(LogLevel::kError, "keeping the old keys: {}", taken.error().message);
}

Result<void> AccessFiles::take_keys(const std::string& text) {
  config::Problems problems;
  auto keys = access::parse_keys_file(text, keys_file_->path(0), problems);
  if (!keys) return fail(ErrorCode::kInvalidArgument, "{}", problems.to_string());
  router_.tell(LogLevel::kInfo, "{}: {} keys", keys_file_->path(0), keys->size());
  const auto before = router_.access().load();
  publish({access::KeyTable(std::move(*keys), before->keys), before->engine_authorization});
  return {};
}

Result<void> AccessFiles::take_engine_key(const std::string& text) {
  auto authorization = access::engine_authorization(text);
  if (!authorization) return with_context(authorization.error(), engine_key_file_->path(0));
  router_.tell(LogLevel::kInfo, "{}: the engines' key was read", engine_key_file_->path(0));
  on_engine_key_(*authorization);
  publish({router_.access().load()->keys, std::move(*authorization)});
  return {};
}

void AccessFiles::publish(access::AccessRules next) {
  std::erase_if(key_metrics_, [&](const auto& known) {
    if (next.keys.find_name(known.first) != nullptr) return false;
    router_.metrics().retire("tenant", known.first);
    return true;
  });
  router_.access().publish(std::make_shared<const access::AccessRules>(std::move(next)));
}

AccessFiles::KeyMetrics& AccessFiles::metrics_of(const access::Key& key) {
  const auto [found, is_new] = key_metrics_.try_emplace(key.name);
  if (!is_new) return found->second;
  MetricRegistry& metrics = router_.metrics();
  KeyMetrics& cells = found->second;
  for (std::size_t i = 0; i < access::kRefusalCount; ++i) {
    const std::string result(access::to_string(static_cast<access::Refusal>(i)));
    cells.requests[i] =
        &metrics.counter("fairlead_tenant_requests_total",
                         "Requests with a known API key, by the key's name and what became of them "
                         "at its limits.",
                         {{"tenant", key.name}, {"result", result}});
  }
  const auto tokens = [&](const char* kind) {
    return &metrics.counter("fairlead_tenant_tokens_total",
                            "Tokens charged to an API key, by the key's name.",
                            {{"tenant", key.name}, {"kind", kind}});
  };
  cells.prompt_tokens = tokens("prompt");
  cells.output_tokens = tokens("output");
  cells.running =
      &metrics.gauge("fairlead_tenant_requests_in_flight",
                     "Admitted requests of an API key that have not ended, by the key's name.",
                     {{"tenant", key.name}});
  return cells;
}

void AccessFiles::refresh_metrics() {
  const auto rules = router_.access().load();
  for (const access::Key& key : rules->keys.keys()) {
    if (!was_used(key)) continue;
    KeyMetrics& cells = metrics_of(key);
    for (std::size_t i = 0; i < access::kRefusalCount; ++i) {
      cells.requests[i]->raise_to(requests_of(key, static_cast<access::Refusal>(i)));
    }
    const access::UsageFigures figures = key.usage->figures();
    cells.prompt_tokens->raise_to(figures.prompt_tokens);
    cells.output_tokens->raise_to(figures.output_tokens);
    cells.running->set(static_cast<double>(figures.running));
  }
}

}  // namespace fairlead::router
