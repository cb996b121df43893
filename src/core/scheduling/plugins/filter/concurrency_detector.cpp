// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/plugins/filter/concurrency_detector.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace fairlead::scheduling {
namespace {

enum class Mode { kRequests, kTokens, kHybrid };

struct Capacity {
  Mode mode = Mode::kRequests;
  double requests = 0;
  double tokens = 0;
  double headroom = 0;

  // Of capacity, with headroom, in whole requests or tokens.
  double bound(double capacity) const { return std::floor(capacity * (1 + headroom)); }
};

class ConcurrencyDetectorFilter final : public Filter {
 public:
  explicit ConcurrencyDetectorFilter(Capacity capacity) : capacity_(capacity) {}

  void narrow(const model::InferenceRequest&, const Candidates& table, Rows& rows,
              DecisionContext&) const override {
    const double requests = capacity_.bound(capacity_.requests);
    const double tokens = capacity_.bound(capacity_.tokens);
    std::erase_if(rows, [&](std::uint32_t row) {
      const bool many = static_cast<double>(table.inflight_requests[row]) >= requests;
      const bool long_ones = static_cast<double>(table.inflight_tokens[row]) >= tokens;
      return (many && capacity_.mode != Mode::kTokens) ||
             (long_ones && capacity_.mode != Mode::kRequests);
    });
  }

 private:
  Capacity capacity_;
};

class ConcurrencyDetectorAdmitter final : public Admitter {
 public:
  explicit ConcurrencyDetectorAdmitter(Capacity capacity) : capacity_(capacity) {}

  Admission admit(const model::InferenceRequest& request, const Candidates& table,
                  Random&) const override {
    if (request.priority >= 0) return Admission::kAdmitted;
    double requests = 0;
    double tokens = 0;
    double ratios = 0;
    for (std::size_t row = 0; row < table.size(); ++row) {
      const auto sent = static_cast<double>(table.inflight_requests[row]);
      const auto work = static_cast<double>(table.inflight_tokens[row]);
      requests += sent;
      tokens += work;
      ratios += std::max(sent / capacity_.requests, work / capacity_.tokens);
    }
    const auto endpoints = static_cast<double>(table.size());
    const bool full = capacity_.mode == Mode::kRequests ? requests >= capacity_.requests * endpoints
                      : capacity_.mode == Mode::kTokens ? tokens >= capacity_.tokens * endpoints
                                                        : ratios >= endpoints;
    return full ? Admission::kSaturated : Admission::kAdmitted;
  }

 private:
  Capacity capacity_;
};

Capacity read(config::Section& parameters) {
  Capacity read;
  const std::string mode =
      parameters.choice("concurrencyMode", "requests", {"requests", "tokens", "hybrid"});
  read.mode = mode == "tokens" ? Mode::kTokens : mode == "hybrid" ? Mode::kHybrid : Mode::kRequests;
  constexpr std::int64_t kMost = 1'000'000'000;
  read.requests = static_cast<double>(parameters.integer("maxConcurrency", 100, 1, kMost));
  read.tokens = static_cast<double>(parameters.integer("maxTokenConcurrency", 1'000'000, 1, kMost));
  read.headroom = parameters.number("headroom", 0, 0, 1e6);
  parameters.text("inFlightLoadProducerName", "");
  return read;
}

std::unique_ptr<Filter> create_filter(config::Section& parameters) {
  return std::make_unique<ConcurrencyDetectorFilter>(read(parameters));
}

std::unique_ptr<Admitter> create_admitter(config::Section& parameters) {
  return std::make_unique<ConcurrencyDetectorAdmitter>(read(parameters));
}

constexpr std::string_view kType = "concurrency-detector";
constexpr Columns kReads = {Column::kInFlightRequests, Column::kInFlightTokens};

}  // namespace

FilterSpec concurrency_detector_filter_spec() {
  return {kType, Stability::kBeta, kReads, create_filter};
}

AdmitterSpec concurrency_detector_admitter_spec() {
  return {kType, Stability::kBeta, kReads | Columns{Column::kPriority}, AdmitsWhen::kNamedDetector,
          create_admitter};
}

}  // namespace fairlead::scheduling
