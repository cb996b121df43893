// SPDX-License-Identifier: Apache-2.0
// ModelList: the answer to GET /v1/models, merged over the fleet and composed anew only when the
// pool snapshot changed. Models of ejected endpoints stay listed, so that the list does not
// flicker with health. Threads: the worker's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/model/endpoint.h"

namespace fairlead::gateway {

class ModelList {
 public:
  // `created` is reported for each model: Unix seconds when this router came to know of models.
  explicit ModelList(std::uint64_t created) : created_(created) {}

  // Valid until the next call.
  std::string_view body(const std::shared_ptr<const model::PoolSnapshot>& pool);

 private:
  std::uint64_t created_;
  std::shared_ptr<const model::PoolSnapshot> pool_;
  std::string body_;
};

}  // namespace fairlead::gateway
