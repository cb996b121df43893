// SPDX-License-Identifier: Apache-2.0
// ModelList: the answers to GET /v1/models and GET /v1/models/{id}, merged over the fleet and
// composed anew only when the pool snapshot changed. Models of ejected endpoints stay listed, so
// that the list does not flicker with health. Threads: the worker's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/codec/json_text.h"
#include "core/model/endpoint.h"

namespace fairlead::gateway {

class ModelList {
 public:
  // `created` is reported for each model: Unix seconds when this router came to know of models.
  explicit ModelList(std::uint64_t created) : created_(created) {}

  // Valid until the next call.
  std::string_view body(const std::shared_ptr<const model::PoolSnapshot>& pool);
  // Likewise; empty for a model that is not in the list.
  std::string_view card(const std::shared_ptr<const model::PoolSnapshot>& pool,
                        std::string_view name);

 private:
  void renew(const std::shared_ptr<const model::PoolSnapshot>& pool);

  std::uint64_t created_;
  std::shared_ptr<const model::PoolSnapshot> pool_;
  std::vector<codec::ModelCard> cards_;  // By id.
  std::string body_;
  std::string card_;
};

}  // namespace fairlead::gateway
