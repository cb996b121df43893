// SPDX-License-Identifier: Apache-2.0
#include "fronts/extproc/endpoint_scores.h"

#include <string_view>

#include "core/exchange/extproc_stream.h"

namespace fairlead::extproc {

std::span<const codec::NamedNumber> EndpointScores::read(const picker::Rated& rated) {
  text_.clear();
  ends_.clear();
  numbers_.clear();
  for (const std::uint32_t row : rated.rows) {
    const model::Endpoint& endpoint = *rated.table.endpoint[row];
    name_.clear();
    exchange::append_endpoint(endpoint.dial(), endpoint.port, name_);
    text_ += name_;
    ends_.push_back(text_.size());
  }
  std::size_t begin = 0;
  for (std::size_t i = 0; i < rated.rows.size(); ++i) {
    numbers_.push_back({std::string_view(text_).substr(begin, ends_[i] - begin), rated.totals[i]});
    begin = ends_[i];
  }
  return numbers_;
}

}  // namespace fairlead::extproc
