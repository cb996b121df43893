// SPDX-License-Identifier: Apache-2.0
#include "fronts/extproc/epp_metrics.h"

#include <fmt/format.h>

#include <optional>

namespace fairlead::extproc {
namespace {

constexpr std::string_view kPrefix = "llm_d_epp_";
constexpr std::string_view kPrefixBefore = "inference_objective_";

// llm-d's bounds, 32778 included: dashboards compare buckets by name.
constexpr double kDurationBounds[] = {
    .005, .025, .05, .1, .2, .4,  .6,  .8,  1,   1.25, 1.5, 2,   3,   4,    5,    6,    8,   10,
    15,   20,   30,  45, 60, 120, 180, 240, 300, 360,  480, 600, 900, 1200, 1800, 2700, 3600};
constexpr double kRequestBytesBounds[] = {
    1 << 6,  1 << 7,  1 << 8,  1 << 9,  1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14,
    1 << 15, 1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 22, 1 << 23,
    1 << 24, 1 << 25, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 30};
constexpr double kResponseBytesBounds[] = {1,    8,    16,   32,   64,    128,   256,  512,
                                           1024, 2048, 4096, 8192, 16384, 32778, 65536};
constexpr double kInputTokenBounds[] = {1,     8,      16,     32,     64,     128,   256,
                                        512,   1024,   2048,   4096,   8192,   16384, 32778,
                                        65536, 131072, 262144, 524288, 1048576};
constexpr double kOutputTokenBounds[] = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192};
constexpr double kTimePerTokenBounds[] = {.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10};
constexpr double kFirstTokenBounds[] = {.005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1,  1.5,
                                        2,    3,   5,   7.5, 10,  15,  20, 30,  45, 60,  90, 120};
constexpr double kStreamedTimePerTokenBounds[] = {
    .0005, .00205, .005, .01, .02, .04, .06, .08, .1, .125, .15, .2, .3, .4, .5, .6, .8, 1, 2};
constexpr double kGapBounds[] = {.001, .005, .01, .02, .04, .06, .08, .1,
                                 .15,  .2,   .3,  .5,  .75, 1,   2};

std::string now_name(std::string_view name) { return fmt::format("{}{}", kPrefix, name); }
std::string name_before(std::string_view name) { return fmt::format("{}{}", kPrefixBefore, name); }

std::string_view code_of_status(int status) {
  switch (status) {
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "NotFound";
    case 412:
      return "PreconditionFailed";
    case 429:
      return "ResourceExhausted";
    case 503:
      return "ServiceUnavailable";
    default:
      return status >= 400 && status < 500 ? "BadRequest" : "Internal";
  }
}

}  // namespace

std::string_view error_code(model::ReplyReason reason) {
  return code_of_status(model::http_status(reason));
}

void EppCells::Pair::observe(double value) const {
  now->observe(value);
  before->observe(value);
}

EppCells::Pair EppCells::pair(std::string_view name, std::string_view before, std::string_view help,
                              std::span<const double> bounds) {
  return {&registry_.histogram(now_name(name), help, bounds, labels_),
          &registry_.histogram(name_before(before), fmt::format("Older name: {}", help), bounds,
                               named())};
}

Labels EppCells::named() const { return {labels_[0], labels_[1]}; }

Labels EppCells::with(std::string_view name, std::string_view value) const {
  Labels labels = labels_;
  labels.emplace_back(name, value);
  return labels;
}

EppCells::EppCells(MetricRegistry& registry, const RequestLabels& labels)
    : registry_(registry),
      labels_{{"model_name", std::string(labels.model)},
              {"target_model_name", std::string(labels.target)},
              {"fairness_id", std::string(labels.fairness)},
              {"priority", fmt::format("{}", labels.priority)}},
      requests_(&registry.counter(now_name("request_total"), "Requests.", labels_)),
      requests_before_(&registry.counter(name_before("request_total"), "Older name: requests.",
                                         {labels_[0], labels_[1], labels_[3]})),
      running_gauge_(
          &registry.gauge(now_name("request_running"), "Requests at an engine.", labels_)),
      running_gauge_before_(&registry.gauge(name_before("running_requests"),
                                            "Older name: requests at an engine.", {labels_[0]})),
      duration_(pair("request_duration_seconds", "request_duration_seconds",
                     "From the request's head to the end of its answer.", kDurationBounds)),
      request_bytes_(pair("request_size_bytes", "request_sizes", "Bytes of a request's body.",
                          kRequestBytesBounds)),
      response_bytes_(pair("response_size_bytes", "response_sizes", "Bytes of an answer's body.",
                           kResponseBytesBounds)),
      input_tokens_(pair("request_input_tokens", "input_tokens",
                         "Prompt tokens, as the engine reports them.", kInputTokenBounds)),
      output_tokens_(pair("request_output_tokens", "output_tokens",
                          "Output tokens, as the engine reports them.", kOutputTokenBounds)),
      cached_tokens_(pair("request_cached_tokens", "prompt_cached_tokens",
                          "Prompt tokens that the engine found cached.", kInputTokenBounds)),
      time_per_token_(pair("request_ntpot_seconds", "normalized_time_per_output_token_seconds",
                           "Duration by output tokens.", kTimePerTokenBounds)),
      streamed_time_per_token_(
          &registry.histogram(now_name("request_streaming_tpot_seconds"),
                              "Time per output token after the first, of a streamed answer.",
                              kStreamedTimePerTokenBounds, labels_)),
      gap_(&registry.histogram(now_name("request_streaming_itl_seconds"),
                               "Between two pieces of a streamed answer.", kGapBounds, labels_)) {
  for (std::size_t i = 0; i < first_token_.size(); ++i) {
    first_token_[i] = &registry.histogram(
        now_name("request_ttft_seconds"), "From the request's head to its first token.",
        kFirstTokenBounds, with("streaming", i == 0 ? "false" : "true"));
  }
}

void EppCells::on_begin(std::uint64_t body_bytes) {
  requests_->add();
  requests_before_->add();
  request_bytes_.observe(static_cast<double>(body_bytes));
}

void EppCells::on_dispatched() {
  ++running_;
  running_gauge_->set(static_cast<double>(running_));
  running_gauge_before_->set(static_cast<double>(running_));
}

void EppCells::on_left() {
  --running_;
  running_gauge_->set(static_cast<double>(running_));
  running_gauge_before_->set(static_cast<double>(running_));
}

void EppCells::on_first_token(model::Streaming streaming, Duration after) {
  first_token_[static_cast<std::size_t>(streaming)]->observe(to_seconds(after));
}

void EppCells::on_end(const RequestEnd& end, std::optional<Duration> first_token) {
  if (!end.answered) return;
  const double total = to_seconds(end.total);
  duration_.observe(total);
  response_bytes_.observe(static_cast<double>(end.response_bytes));
  if (end.usage == nullptr) return;
  if (end.usage->prompt_tokens) {
    input_tokens_.observe(static_cast<double>(*end.usage->prompt_tokens));
    cached_tokens_.observe(static_cast<double>(end.usage->cached_tokens.value_or(0)));
  }
  const auto output = static_cast<double>(end.usage->completion_tokens.value_or(0));
  if (output < 1) return;
  output_tokens_.observe(output);
  time_per_token_.observe(total / output);
  if (end.streaming != model::Streaming::kStreamed || !first_token || output < 2) return;
  streamed_time_per_token_->observe((total - to_seconds(*first_token)) / (output - 1));
}

void EppCells::on_error(std::string_view code) {
  auto at = errors_.find(code);
  if (at == errors_.end()) {
    Labels before = named();
    before.emplace_back("error_code", code);
    at = errors_
             .emplace(code, std::array{&registry_.counter(now_name("request_error_total"),
                                                          "Requests that failed.",
                                                          with("error_code", code)),
                                       &registry_.counter(name_before("request_error_total"),
                                                          "Older name: requests that failed.",
                                                          std::move(before))})
             .first;
  }
  for (Counter* const counter : at->second) counter->add();
}

EppMetrics::EppMetrics(MetricRegistry& registry, LabelBudget& models, LabelBudget& fairness)
    : registry_(registry), models_(models), fairness_(fairness) {}

EppCells& EppMetrics::cells(const RequestLabels& labels) {
  RequestLabels admitted{models_.admit(labels.model), models_.admit(labels.target),
                         fairness_.admit(labels.fairness), labels.priority};
  const auto write_key = [this](const RequestLabels& l) {
    key_.clear();
    key_.append(l.model).push_back('\0');
    key_.append(l.target).push_back('\0');
    key_.append(l.fairness).push_back('\0');
    fmt::format_to(std::back_inserter(key_), "{}", l.priority);
  };
  write_key(admitted);
  auto at = cells_.find(key_);
  if (at != cells_.end()) return *at->second;
  if (cells_.size() >= kLabelSetsMax) {
    admitted.model = admitted.target = admitted.fairness = kOtherLabel;
    write_key(admitted);
    at = cells_.find(key_);
  }
  if (at == cells_.end()) {
    at = cells_.emplace(key_, std::make_unique<EppCells>(registry_, admitted)).first;
  }
  return *at->second;
}

}  // namespace fairlead::extproc
