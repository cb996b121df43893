// SPDX-License-Identifier: Apache-2.0
// AnswerMeter: how long the answers of one engine are, learnt from its counters: tokens generated
// over first tokens, of about the last kMemory answers. What one tells in its first figures are all
// its answers since it started. Engines without these counters (SGLang, TensorRT-LLM) stay at
// kAtFirst.
// Bounds: no answer is longer than kLongest, so that nonsense is forgotten.
// Source: vLLM, generation_tokens_total and time_to_first_token_seconds_count.
// Units: tokens. Threads: thread-compatible.
#pragma once

#include <algorithm>

#include "core/codec/vllm_metrics.h"

namespace fairlead::fleet {

class AnswerMeter {
 public:
  // Of the published traces of chats the mean is 200 to 350 tokens, and of made-up ones 1,000.
  static constexpr double kAtFirst = 500;
  static constexpr double kBelief = 50;  // Answers that count as much as what is believed at first.
  static constexpr double kMemory = 500;
  static constexpr double kLongest = 1e6;

  void told(const codec::EngineMetrics& metrics) {
    if (!metrics.generation_tokens || !metrics.first_tokens) return;
    const double answers = since(*metrics.first_tokens, last_answers_);
    const double tokens = since(*metrics.generation_tokens, last_tokens_);
    answers_ += answers;
    tokens_ += std::min(tokens, kLongest * std::max(1.0, answers));
    const double kept = std::min(1.0, kMemory / answers_);
    answers_ *= kept;
    tokens_ *= kept;
  }
  float mean_tokens() const { return static_cast<float>(tokens_ / answers_); }

 private:
  // Of an engine that restarted all is new.
  static double since(double counter, double& last) {
    const double grown = counter < last ? counter : counter - last;
    last = counter;
    return grown;
  }

  double answers_ = kBelief;
  double tokens_ = kBelief * kAtFirst;
  double last_answers_ = 0;
  double last_tokens_ = 0;
};

}  // namespace fairlead::fleet
