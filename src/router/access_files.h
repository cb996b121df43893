// SPDX-License-Identifier: Apache-2.0
// AccessFiles: keeps the published AccessRules up to date with the keys file and the file of the
// engines' key, both watched, and exposes what each key has used.
//
//   auto sources = files.read(settings);    // Everything that can fail.
//   files.adopt(std::move(*sources));
//
// A file that turns bad keeps what it last said, is logged without any of its values, and counted.
// Errors: read() fails when a configured file is missing or bad: nobody is let in by accident.
// Threads: the control loop's thread, or its creator's before it runs.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "core/access/key_table.h"
#include "io/fleet/watched_files.h"
#include "router/router.h"

namespace fairlead::router {

class AccessFiles {
 public:
  // What a configuration names, read and found good.
  struct Sources {
    std::unique_ptr<fleet::WatchedFiles> keys_file{};  // Null: not configured.
    std::unique_ptr<fleet::WatchedFiles> engine_key_file{};
    std::optional<std::vector<access::KeySetting>> keys{};  // Unset: nobody is asked for one.
    std::string engine_authorization{};
  };
  // Gets the Authorization header for engines, at once and after each change.
  using OnEngineKey = std::function<void(const std::string& authorization)>;

  AccessFiles(Router& router, net::EventLoop& loop, OnEngineKey on_engine_key);

  Result<Sources> read(const config::ServeSettings& settings);
  void adopt(Sources sources);
  void refresh_metrics();

 private:
  using File = std::unique_ptr<fleet::WatchedFiles>;
  using Place = File AccessFiles::*;
  using Take = Result<void> (AccessFiles::*)(const std::string& text);
  struct LoadCounters {
    Counter* taken;
    Counter* refused;
  };
  struct KeyMetrics {
    std::array<Counter*, access::kRefusalCount> requests{};
    Counter* prompt_tokens = nullptr;
    Counter* output_tokens = nullptr;
    Gauge* running = nullptr;
  };

  LoadCounters load_counters(const char* file);
  Result<File> open(const std::string& path, Place place, Take take, const LoadCounters& loads);
  void on_change(const Result<std::string>& text, Take take, const LoadCounters& loads);
  Result<void> take_keys(const std::string& text);
  Result<void> take_engine_key(const std::string& text);
  void publish(access::AccessRules next);
  KeyMetrics& metrics_of(const access::Key& key);

  Router& router_;
  net::EventLoop& loop_;
  OnEngineKey on_engine_key_;
  LoadCounters keys_loads_;
  LoadCounters engine_key_loads_;
  File keys_file_;
  File engine_key_file_;
  std::map<std::string, KeyMetrics> key_metrics_;  // Of keys that were used.
};

}  // namespace fairlead::router
