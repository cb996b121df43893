// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/quantity.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <vector>

namespace fairlead::load {
namespace {

constexpr double kNormalP90 = 1.2815515655446004;  // Of the standard normal distribution.
// Wider than any published length or gap, and exp() of it far from overflow.
constexpr double kMaxSigma = 5;
constexpr int kMeanDraws = 20'000;

std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || stop != text.data() + text.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

std::vector<std::string_view> words_in(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = std::min(text.find_first_not_of(' ', at), text.size());
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    if (end > begin) words.push_back(text.substr(begin, end - begin));
    at = end;
  }
  return words;
}

}  // namespace

struct Quantity::Written {
  struct Parameter {
    std::string_view name;
    std::optional<double> value;
  };
  std::string_view law;
  Range range;
  std::array<Parameter, 6> parameters{
      {{"mean", {}}, {"sigma", {}}, {"p50", {}}, {"p90", {}}, {"min", {}}, {"max", {}}}};

  const std::optional<double>& value(std::string_view name) const {
    return std::ranges::find(parameters, name, &Parameter::name)->value;
  }
  // Whether of the four that are not bounds exactly these are given.
  bool has_just(std::string_view first, std::string_view second) const {
    for (const Parameter& parameter : parameters) {
      const bool bound = parameter.name == "min" || parameter.name == "max";
      const bool wanted = parameter.name == first || parameter.name == second;
      if (!bound && wanted != parameter.value.has_value()) return false;
    }
    return true;
  }
};

Quantity Quantity::fixed(double value) {
  Quantity quantity;
  quantity.location_ = quantity.min_ = quantity.max_ = value;
  return quantity;
}

Result<Quantity> Quantity::from(const Written& written) {
  const std::string_view law = written.law;
  const Range range = written.range;
  Quantity quantity;
  quantity.min_ = written.value("min").value_or(range.least);
  quantity.max_ = written.value("max").value_or(range.most);
  if (quantity.min_ < range.least || quantity.max_ > range.most || quantity.min_ > quantity.max_) {
    return fail(ErrorCode::kInvalidArgument, "min and max must lie in {}..{}, min not above max",
                range.least, range.most);
  }
  const double mean = written.value("mean").value_or(0);
  quantity.location_ = mean;
  if (law == "uniform") {
    quantity.law_ = Law::kUniform;
    if (written.has_just("", "") && written.value("min") && written.value("max")) return quantity;
    return fail(ErrorCode::kInvalidArgument, "uniform takes min and max");
  }
  if (law == "exponential") {
    quantity.law_ = Law::kExponential;
    if (written.has_just("mean", "") && mean > 0) return quantity;
    return fail(ErrorCode::kInvalidArgument, "exponential takes a mean above 0, min and max");
  }
  if (law == "geometric") {
    quantity.law_ = Law::kGeometric;
    if (written.has_just("mean", "") && mean >= 1) return quantity;
    return fail(ErrorCode::kInvalidArgument, "geometric takes a mean of at least 1, min and max");
  }
  if (law != "lognormal") {
    return fail(ErrorCode::kInvalidArgument,
                "must be a number or begin with uniform, lognormal, geometric or exponential");
  }
  quantity.law_ = Law::kLogNormal;
  const double median = written.value("p50").value_or(0);
  if (written.has_just("mean", "sigma") && mean > 0) {
    quantity.sigma_ = *written.value("sigma");
    quantity.location_ = std::log(mean) - quantity.sigma_ * quantity.sigma_ / 2;
  } else if (written.has_just("p50", "p90") && median > 0 && *written.value("p90") >= median) {
    quantity.sigma_ = std::log(*written.value("p90") / median) / kNormalP90;
    quantity.location_ = std::log(median);
  } else {
    return fail(ErrorCode::kInvalidArgument,
                "lognormal takes mean and sigma, or p50 and a p90 not below it, all above 0");
  }
  if (!(quantity.sigma_ >= 0 && quantity.sigma_ <= kMaxSigma)) {
    return fail(ErrorCode::kInvalidArgument, "sigma must lie in 0..{}, is {:.3g}", kMaxSigma,
                quantity.sigma_);
  }
  return quantity;
}

Result<Quantity> Quantity::parse(std::string_view text, Range range) {
  const std::vector<std::string_view> words = words_in(text);
  if (words.size() == 1) {
    if (const auto value = number_of(words[0])) {
      if (*value >= range.least && *value <= range.most) return fixed(*value);
      return fail(ErrorCode::kInvalidArgument, "must be from {} to {}, is {}", range.least,
                  range.most, words[0]);
    }
  }
  Written written;
  written.range = range;
  if (!words.empty()) written.law = words[0];
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::size_t equals = std::min(words[i].find('='), words[i].size());
    const std::string_view name = words[i].substr(0, equals);
    const auto found = std::ranges::find(written.parameters, name, &Written::Parameter::name);
    const auto value = number_of(words[i].substr(std::min(equals + 1, words[i].size())));
    if (found == written.parameters.end() || found->value || !value) {
      return fail(ErrorCode::kInvalidArgument,
                  "after the law each of mean, sigma, p50, p90, min and max may be given a number "
                  "once, as in mean=4");
    }
    found->value = value;
  }
  return from(written);
}

double Quantity::draw(Random& random) const {
  double value = location_;
  switch (law_) {
    case Law::kFixed:
      return value;
    case Law::kUniform:
      return min_ + random.uniform() * (max_ - min_);
    case Law::kLogNormal:
      value = std::exp(location_ + sigma_ * random.normal());
      break;
    case Law::kGeometric: {
      const double ends = 1 / location_;
      const double tries = ends >= 1 ? 0 : std::log1p(-random.uniform()) / std::log1p(-ends);
      value = 1 + std::floor(tries);
      break;
    }
    case Law::kExponential:
      value = random.exponential(location_);
      break;
  }
  return std::clamp(value, min_, max_);
}

std::uint32_t Quantity::draw_whole(Random& random) const {
  if (law_ == Law::kUniform) {
    const double least = std::ceil(min_);
    const double count = std::max(std::floor(max_) - least + 1, 1.0);
    return static_cast<std::uint32_t>(least) +
           static_cast<std::uint32_t>(random.below(static_cast<std::uint64_t>(count)));
  }
  return static_cast<std::uint32_t>(std::lround(draw(random)));
}

double Quantity::mean_whole() const {
  Random random(1);
  double sum = 0;
  for (int i = 0; i < kMeanDraws; ++i) sum += draw_whole(random);
  return sum / kMeanDraws;
}

}  // namespace fairlead::load
