// SPDX-License-Identifier: Apache-2.0
// Restart: what a router knows outlives its process. A file in `restart.directory` keeps the key
// seed, what was sent to each endpoint, marks by which an engine's own restart is noticed, and the
// KV index with the places of its streams; it is written every `restart.interval` and at the end,
// and read at the next start.
//
//   control ──▶ save(endpoints) ──▶ this thread: histories ──▶ file
//                                     └▶ KvListener::save(): the index, in slices ──▶ file
//   start   ──▶ open() ──▶ the image: key seed, take() for each endpoint found,
//   KvListener::restore()
//
// A file that is damaged, of another version or too large is told of in the log and counted, and
// the router starts with nothing; it never stops a start. A directory that cannot be used does.
// Histories are a guess that others may have made void: those older than kHistoryAgeMax are left.
// The file is private, since whoever knows the seed can make keys collide.
// Threads: as the members say.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "base/result.h"
#include "core/codec/restart_file.h"
#include "core/config/settings.h"
#include "core/prefix/routed_history.h"
#include "io/export/state_file.h"
#include "io/net/steady_clock.h"
#include "router/kv_listener.h"
#include "router/shared_history.h"

namespace fairlead::router {

// Where knowledge is kept while the router runs. All outlive the Restart.
struct RestartSources {
  std::uint64_t key_seed = 0;
  const SharedHistory* history = nullptr;
  const SharedHistory* media = nullptr;
  KvListener* listener = nullptr;  // Null: nobody listens.
  std::uint32_t tokens_asked = 0;  // Of a block, as configured for it.
};

class Restart {
 public:
  static constexpr Duration kHistoryAgeMax = std::chrono::hours(1);
  // Endpoints that are not found by then are forgotten; names are looked up meanwhile.
  static constexpr Duration kFoundWithin = std::chrono::minutes(1);

  // Takes the directory and reads its file; the error names the directory. With a `key_seed` what
  // was saved under another one is of no use.
  static Result<std::unique_ptr<Restart>> open(const config::RestartSettings& settings,
                                               std::uint64_t block_bytes,
                                               std::optional<std::uint64_t> key_seed, Log& log,
                                               MetricRegistry& metrics);
  ~Restart();
  Restart(const Restart&) = delete;
  Restart& operator=(const Restart&) = delete;

  // The creator's thread, before start(): null without a usable file. After drop_index() the runs
  // in it are gone, and the memory that they took.
  const codec::RestartImage* image() const { return image_.get(); }
  void drop_index();

  struct Known {
    codec::RestartEndpoint endpoint;
    codec::RestartHistory prompts;
    codec::RestartHistory media;
  };
  // Control's: what was known of this endpoint, once.
  std::optional<Known> take(const std::string& name, const std::string& address);

  struct Job {
    std::vector<codec::RestartEndpoint> endpoints;
    std::vector<std::uint32_t> slots;  // Of the same.
    std::uint64_t turn = 0;
    std::uint64_t block_bytes = 0;
  };
  void start(const RestartSources& sources);
  // Control's. Passed over, counted, while the last one is still under way.
  void save(Job job);
  // Saves once more and ends. The listener still runs.
  void finish(Job job);

 private:
  struct Cells {
    explicit Cells(MetricRegistry& registry);
    Counter& whole;
    Counter& cut;
    Counter& failed;
    Counter& skipped;
    Gauge& bytes;
    Gauge& seconds;
    Gauge& saved_at;
    Counter& loaded;
    Counter& none;
    Counter& refused;
    Counter& endpoints;
  };
  enum class Saved : std::uint8_t { kWhole, kCut };

  Restart(const config::RestartSettings& settings, std::uint64_t block_bytes, Log& log,
          MetricRegistry& metrics, std::unique_ptr<exporting::StateFile> file);
  void load(std::optional<std::uint64_t> key_seed);
  void run();
  void make(const Job& job);
  Result<Saved> write(const Job& job, std::uint64_t& bytes);
  Result<Saved> write_histories(const Job& job, codec::RestartWriter& writer);

  config::RestartSettings settings_;
  std::uint64_t block_bytes_;
  Log& log_;
  Cells cells_;
  net::SteadyClock clock_;
  std::unique_ptr<exporting::StateFile> file_;
  std::string bytes_;
  std::unique_ptr<codec::RestartImage> image_;
  bool histories_usable_ = false;
  // Of the image's endpoints: by name, and their histories.
  std::map<std::string, std::uint32_t, std::less<>> by_name_;
  std::vector<std::vector<std::uint32_t>> histories_of_;
  Time opened_{};
  RestartSources sources_;
  std::string last_failure_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::optional<Job> job_;  // Guarded by mutex_, as the next two.
  bool busy_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace fairlead::router
