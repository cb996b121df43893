// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/synthetic.h"

#include <cmath>
#include <utility>

namespace fairlead::load {
namespace {

// Streams of one seed, so that the prompts' order does not change with the arrivals.
enum Stream : std::uint64_t { kShuffle = 1, kArrivals = 2 };
enum ContentKind : std::uint64_t { kSystem = 11, kQuestion = 12, kUnique = 13 };

constexpr std::uint64_t kMaxRequests = 20'000'000;
constexpr std::uint64_t kMaxPrompts = 10'000'000;
constexpr std::uint32_t kMaxPromptTokens = 1u << 27;

Result<void> check(const SharedPrefixPrompts& prompts) {
  const std::uint64_t count = std::uint64_t{prompts.groups} * prompts.prompts_per_group;
  if (count == 0 || count > kMaxPrompts) {
    return fail(ErrorCode::kInvalidArgument, "groups x prompts per group is {}; it must be 1..{}",
                count, kMaxPrompts);
  }
  if (prompts.system_tokens > kMaxPromptTokens || prompts.question_tokens > kMaxPromptTokens ||
      prompts.system_tokens + prompts.question_tokens == 0) {
    return fail(ErrorCode::kInvalidArgument,
                "system and question tokens must lie in 0..{} and not both be 0", kMaxPromptTokens);
  }
  if (prompts.output_tokens == 0) {
    return fail(ErrorCode::kInvalidArgument, "output tokens must be at least 1");
  }
  return {};
}

Result<void> check(const UniquePrompts& prompts) {
  if (prompts.prompt_tokens == 0 || prompts.prompt_tokens > kMaxPromptTokens ||
      prompts.output_tokens == 0) {
    return fail(ErrorCode::kInvalidArgument,
                "prompt tokens must lie in 1..{} and output tokens be at least 1",
                kMaxPromptTokens);
  }
  return {};
}

Result<void> check(const OpenLoop& loop) {
  if (loop.stages.empty()) {
    return fail(ErrorCode::kInvalidArgument, "an open loop needs at least one stage");
  }
  double total = 0;
  for (std::size_t i = 0; i < loop.stages.size(); ++i) {
    const RateStage& stage = loop.stages[i];
    const double count = stage.rate * to_seconds(stage.length);
    if (!(stage.rate > 0) || !(count >= 1)) {
      return fail(ErrorCode::kInvalidArgument,
                  "stage {} sends no request: rate {} /s x {:.3f} s must be at least 1", i + 1,
                  stage.rate, to_seconds(stage.length));
    }
    total += count;
  }
  if (total > static_cast<double>(kMaxRequests)) {
    return fail(ErrorCode::kLimitExceeded, "the stages send {:.0f} requests; the limit is {}",
                total, kMaxRequests);
  }
  return {};
}

Result<void> check(const ClosedLoop& loop) {
  if (loop.concurrency == 0 || loop.requests == 0 || loop.requests > kMaxRequests) {
    return fail(ErrorCode::kInvalidArgument,
                "a closed loop needs a concurrency above 0 and 1..{} requests", kMaxRequests);
  }
  return {};
}

// Deals the prompts out, one a request.
class PromptDealer {
 public:
  PromptDealer(const SyntheticSettings& settings, Workload& workload)
      : settings_(settings), workload_(workload) {
    if (const auto* shared = std::get_if<SharedPrefixPrompts>(&settings.prompts)) make(*shared);
  }

  PlannedRequest next() {
    if (const auto* unique = std::get_if<UniquePrompts>(&settings_.prompts)) {
      PlannedRequest request;
      request.prompt_tokens = unique->prompt_tokens;
      request.output_tokens = unique->output_tokens;
      request.first_part = static_cast<std::uint32_t>(workload_.parts.size());
      request.part_count = 1;
      workload_.parts.push_back(
          {content_id(settings_.seed, kUnique, dealt_++), unique->prompt_tokens});
      return request;
    }
    return deck_[dealt_++ % deck_.size()];
  }

 private:
  void make(const SharedPrefixPrompts& shared) {
    workload_.group_count = shared.groups;
    for (std::uint32_t group = 0; group < shared.groups; ++group) {
      const std::uint64_t system = content_id(settings_.seed, kSystem, group);
      for (std::uint32_t prompt = 0; prompt < shared.prompts_per_group; ++prompt) {
        const std::uint64_t question = content_id(settings_.seed, kQuestion, deck_.size());
        PlannedRequest request;
        request.prompt_tokens = shared.system_tokens + shared.question_tokens;
        request.output_tokens = shared.output_tokens;
        request.first_part = static_cast<std::uint32_t>(workload_.parts.size());
        request.part_count = 2;
        request.group = group;
        workload_.parts.push_back({system, shared.system_tokens});
        workload_.parts.push_back({question, shared.question_tokens});
        deck_.push_back(request);
      }
    }
    Random random(mix64(settings_.seed) ^ kShuffle);
    for (std::size_t i = deck_.size(); i > 1; --i) {
      std::swap(deck_[i - 1], deck_[random.below(i)]);
    }
  }

  const SyntheticSettings& settings_;
  Workload& workload_;
  std::vector<PlannedRequest> deck_;
  std::uint64_t dealt_ = 0;
};

void add_stage(Stage stage, std::span<const Duration> at, PromptDealer& dealer,
               Workload& workload) {
  const auto index = static_cast<std::uint32_t>(workload.stages.size());
  stage.first_request = static_cast<std::uint32_t>(workload.requests.size());
  for (std::uint32_t i = 0; i < stage.request_count; ++i) {
    PlannedRequest request = dealer.next();
    request.stage = index;
    if (!at.empty()) request.at = at[i];
    workload.requests.push_back(request);
  }
  workload.stages.push_back(std::move(stage));
}

void plan(const OpenLoop& loop, Random random, PromptDealer& dealer, Workload& workload) {
  for (std::size_t i = 0; i < loop.stages.size(); ++i) {
    const RateStage& planned = loop.stages[i];
    const std::vector<Duration> at =
        arrival_times(loop.arrivals, planned.rate, planned.length, random);
    Stage stage;
    stage.name =
        fmt::format("{}{:g}/s", planned.kind == StageKind::kWarmUp ? "warm-up " : "", planned.rate);
    stage.kind = planned.kind;
    stage.rate = planned.rate;
    stage.length = planned.length;
    if (i + 1 < loop.stages.size()) stage.pause_after = loop.pause;
    stage.request_count = static_cast<std::uint32_t>(at.size());
    add_stage(std::move(stage), at, dealer, workload);
  }
}

void plan(const ClosedLoop& loop, PromptDealer& dealer, Workload& workload) {
  Stage stage;
  stage.name = fmt::format("{} in flight", loop.concurrency);
  stage.concurrency = loop.concurrency;
  stage.length = loop.length;
  stage.request_count = loop.requests;
  add_stage(std::move(stage), {}, dealer, workload);
}

}  // namespace

std::uint32_t poisson_count(double mean, Random& random) {
  // Knuth's product of uniforms, in parts because exp(-mean) underflows for large means; a sum of
  // Poisson counts is Poisson.
  constexpr double kPart = 500;
  std::uint32_t count = 0;
  for (double left = mean; left > 0; left -= kPart) {
    const double floor = std::exp(-std::min(left, kPart));
    for (double product = random.uniform(); product > floor; product *= random.uniform()) ++count;
  }
  return count;
}

std::vector<Duration> arrival_times(Arrivals arrivals, double rate, Duration length,
                                    Random& random) {
  // The small share keeps 0.1 x 30 at 3.
  const auto count = static_cast<std::size_t>(rate * to_seconds(length) + 1e-9);
  std::vector<Duration> times;
  times.reserve(count);
  if (arrivals == Arrivals::kConstant) {
    for (std::size_t i = 0; i < count; ++i) {
      times.push_back(from_seconds(static_cast<double>(i) / rate));
    }
    return times;
  }
  std::vector<double> ends;
  for (double second = 0; times.size() < count; ++second) {
    ends.clear();
    double total = 0;
    for (std::uint32_t i = poisson_count(rate, random); i > 0; --i) {
      ends.push_back(total += random.exponential(1));
    }
    for (std::size_t i = 0; i < ends.size() && times.size() < count; ++i) {
      times.push_back(from_seconds(second + ends[i] / total));
    }
  }
  return times;
}

Result<Workload> plan_synthetic(const SyntheticSettings& settings) {
  const auto checked = [](const auto& part) { return check(part); };
  if (auto good = std::visit(checked, settings.prompts); !good) {
    return tl::unexpected(std::move(good.error()));
  }
  if (auto good = std::visit(checked, settings.loop); !good) {
    return tl::unexpected(std::move(good.error()));
  }
  Workload workload;
  workload.name = settings.name;
  PromptDealer dealer(settings, workload);
  if (const auto* open = std::get_if<OpenLoop>(&settings.loop)) {
    plan(*open, Random(mix64(settings.seed) ^ kArrivals), dealer, workload);
  } else {
    plan(std::get<ClosedLoop>(settings.loop), dealer, workload);
  }
  return workload;
}

SyntheticSettings b2b_settings(std::uint64_t seed) {
  using std::chrono::seconds;
  struct Rung {
    double rate;
    int length_s;
  };
  constexpr Rung kLadder[] = {{3, 20},  {10, 20}, {15, 20}, {20, 38}, {22, 34}, {25, 30},
                              {30, 25}, {35, 21}, {40, 38}, {43, 36}, {46, 33}, {49, 30},
                              {52, 29}, {55, 27}, {57, 26}, {60, 25}};
  OpenLoop loop;
  loop.pause = seconds(30);
  loop.stages.push_back({15, seconds(50), StageKind::kWarmUp});
  for (const Rung& rung : kLadder) {
    loop.stages.push_back({rung.rate, seconds(rung.length_s), StageKind::kMeasured});
  }
  SyntheticSettings settings;
  settings.name = "b2b";
  settings.prompts = SharedPrefixPrompts{150, 5, 6000, 1200, 1000};
  settings.loop = std::move(loop);
  settings.seed = seed;
  return settings;
}

}  // namespace fairlead::load
