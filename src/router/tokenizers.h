// SPDX-License-Identifier: Apache-2.0
// Tokenizers: the models whose prompts are tokenized as their engines do it, and the threads that
// do so.
// Errors: load() names the folder and what is wrong with it. Threads: immutable; the pool is
// thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "core/config/settings.h"
#include "io/text/hf_model.h"
#include "io/text/token_pool.h"

namespace fairlead::router {

class Tokenizers {
 public:
  static Result<std::unique_ptr<Tokenizers>> load(const config::TokenizingSettings& settings,
                                                  std::uint64_t seed, MetricRegistry& metrics);

  // The number of the model in the pool. A name that is not configured, as an adapter's, has the
  // tokenizer of the only model there is, or none.
  std::optional<std::uint32_t> find(std::string_view model) const;
  text::TokenPool& pool() { return *pool_; }
  Duration deadline() const { return settings_.deadline; }

 private:
  explicit Tokenizers(const config::TokenizingSettings& settings) : settings_(settings) {}

  config::TokenizingSettings settings_;
  std::vector<std::unique_ptr<text::HfModel>> models_;
  std::unique_ptr<text::TokenPool> pool_;
};

}  // namespace fairlead::router
