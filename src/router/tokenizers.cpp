// SPDX-License-Identifier: Apache-2.0
#include "router/tokenizers.h"

#include <algorithm>

namespace fairlead::router {

Result<std::unique_ptr<Tokenizers>> Tokenizers::load(const config::TokenizingSettings& settings,
                                                     std::uint64_t seed, MetricRegistry& metrics) {
  std::unique_ptr<Tokenizers> tokenizers(new Tokenizers(settings));
  std::vector<text::TokenModel> models;
  for (const config::TokenizerFolder& one : settings.models) {
    auto model = text::HfModel::load(one.folder);
    if (!model) return with_context(model.error(), "tokens.models");
    models.push_back({model->get(), model->get()});
    tokenizers->models_.push_back(std::move(*model));
  }
  const text::TokenPoolOptions options{.threads = settings.threads,
                                       .queue_max = settings.queue_max,
                                       .queue_bytes_max = settings.queue_bytes_max,
                                       .cache_bytes_max = settings.cache_bytes_max};
  tokenizers->pool_ = std::make_unique<text::TokenPool>(std::move(models), options, seed, metrics);
  return tokenizers;
}

std::optional<std::uint32_t> Tokenizers::find(std::string_view model) const {
  const auto found = std::ranges::find(settings_.models, model, &config::TokenizerFolder::model);
  if (found != settings_.models.end()) {
    return static_cast<std::uint32_t>(found - settings_.models.begin());
  }
  return settings_.models.size() == 1 ? std::optional<std::uint32_t>(0) : std::nullopt;
}

}  // namespace fairlead::router
