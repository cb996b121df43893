// SPDX-License-Identifier: Apache-2.0
// LoadRun: sends a planned workload to a server in real time and records what came back.
//
//   auto loop = net::EventLoop::create();
//   auto result = run_load(**loop, workload, settings, on_progress);
//
// One loop, one thread, no request waits for another: an open loop keeps its schedule whatever the
// server does, until connections_max requests are in flight; then they wait and the wait shows in
// the schedule delay. The generator measures its own lag, and a run that the lag spoilt says so.
// Threads: the loop's thread; EventLoop::stop() from any thread ends a run early, with what was
// running recorded as cancelled.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "io/net/event_loop.h"
#include "io/net/http1_client.h"
#include "io/net/timer.h"
#include "lab/load/flight.h"
#include "lab/load/model/accounting.h"
#include "lab/load/model/pacer.h"
#include "lab/load/target.h"

namespace fairlead::load {

struct LoadSettings {
  Target target;
  Api api = Api::kChat;
  std::string model;                                   // Empty: the first that the server lists.
  std::string api_key;                                 // Empty: none is sent.
  double speed = 1;                                    // Of the engines; see time_scale.h. Above 0.
  std::uint32_t connections_max = 4096;                // Requests in flight at most; 1 or more.
  Duration connect_timeout = std::chrono::seconds(5);  // Wall time, as all of these.
  Duration request_timeout = std::chrono::minutes(10);  // From send to last byte.
  Duration lag_max = std::chrono::milliseconds(10);     // Above it a run is spoilt.
  Duration progress_interval = std::chrono::seconds(1);
  SloLimits limits;
};

// A moment of a run. Rates and the median cover the time since the progress before it.
struct LoadProgress {
  double elapsed_s = 0;  // Model time.
  std::string_view stage;
  std::uint64_t planned = 0;
  std::uint64_t sent = 0;
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;
  std::uint32_t in_flight = 0;
  std::optional<double> ttft_p50;  // Of requests that ended; model time.
  double output_tokens_per_s = 0;  // Of requests that ended; model time.
};

// "  12 s  replay  340 of 2,040 sent, 18 running, 0 failed  TTFT p50 0.420 s  5,120 tokens/s"
std::string progress_line(const LoadProgress& progress);

// How far the generator itself was behind, in wall time.
struct GeneratorLag {
  double schedule_p50_s = 0;  // From when a request was due until it was sent.
  double receive_mean_s = 0;  // From when the loop saw bytes until they had a time stamp.
  double receive_max_s = 0;
};

struct LoadResult {
  RunRecords records;
  Summary summary;
  GeneratorLag lag;
  bool interrupted = false;           // The loop was stopped before the end.
  std::optional<std::string> spoilt;  // Why the figures cannot be trusted.
};

using ProgressSink = std::function<void(const LoadProgress&)>;

class LoadRun final : private FlightOwner {
 public:
  // The workload outlives the run. `settings.model` is not empty.
  LoadRun(net::EventLoop& loop, const Workload& workload, const LoadSettings& settings);
  ~LoadRun();
  LoadRun(const LoadRun&) = delete;
  LoadRun& operator=(const LoadRun&) = delete;

  // `on_done` runs once, when the last request has ended.
  void start(ProgressSink on_progress, std::function<void()> on_done);
  // Ends what runs; on_done is not called.
  void interrupt();
  // After on_done or interrupt().
  LoadResult take_result();

 private:
  void on_flight_end(Flight& flight) override;
  void on_text(Duration lag) override;

  void pump();
  void launch(const Pacer::Issue& issue);
  void record(Flight& flight);
  std::uint16_t endpoint_index(const std::string& name);
  void sort_endpoints();
  void report_progress();
  GeneratorLag lag(const Summary& summary) const;

  net::EventLoop& loop_;
  const Workload& workload_;
  LoadSettings settings_;
  TimeScale scale_;
  FlightSettings flight_settings_;
  RequestWriter writer_;
  net::SteadyClock clock_;
  net::UpstreamPool pool_;
  std::optional<Pacer> pacer_;
  net::Timer due_;
  net::Timer tick_;
  std::vector<std::unique_ptr<Flight>> flights_;
  std::vector<Flight*> idle_;
  RunRecords records_;
  std::unordered_map<std::string, std::uint16_t> endpoints_;
  ProgressSink on_progress_;
  std::function<void()> on_done_;
  LoadProgress progress_;
  std::vector<double> fresh_ttfts_;  // Since the last progress.
  std::uint64_t fresh_tokens_ = 0;
  Time started_{};
  Time last_progress_{};
  Duration receive_lag_{};
  Duration receive_lag_max_{};
  std::uint64_t receives_ = 0;
  bool pumping_ = false;
  bool interrupted_ = false;
};

// Asks the server for its models, runs the whole workload and sums it up. Fails when the server
// cannot be reached or a setting is out of range; failed requests are figures, not errors.
Result<LoadResult> run_load(net::EventLoop& loop, const Workload& workload,
                            const LoadSettings& settings, const ProgressSink& on_progress);

}  // namespace fairlead::load
