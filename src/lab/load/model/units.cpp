// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/units.h"

#include <array>

#include "lab/load/model/unit_content.h"

namespace fairlead::load {
namespace {

class SingleUnits final : public Units {
 public:
  SingleUnits(const SingleRequests& spec, Scope scope)
      : spec_(spec), scope_(scope), system_(spec.system, scope, UnitContent::kPrefix) {}

  void add(std::uint64_t n, double at_s, Draft& draft) override {
    if (n == 0) groups_ = draft.new_groups(spec_.system.count);
    UnitDice dice(scope_, n);
    const std::uint32_t system = system_.pick(dice.random());
    const std::array parts = {system_.at(system), dice.text(dice.tokens(spec_.input))};
    const std::uint32_t group = parts[0].tokens > 0 ? groups_ + system : kNoGroup;
    draft.add_once(at_s, parts, 0, dice.tokens(spec_.output), group);
  }
  double mean_requests() const override { return 1; }

 private:
  const SingleRequests& spec_;
  Scope scope_;
  Prefixes system_;
  std::uint32_t groups_ = 0;
};

class SessionUnits final : public Units {
 public:
  SessionUnits(const Sessions& spec, Scope scope)
      : spec_(spec), scope_(scope), system_(spec.system, scope, UnitContent::kPrefix) {}

  void add(std::uint64_t n, double at_s, Draft& draft) override {
    UnitDice dice(scope_, n);
    const std::uint32_t group = draft.new_groups(1);
    parts_ = {system_.at(system_.pick(dice.random())),
              dice.text(dice.tokens(spec_.dynamic_system))};
    std::uint32_t context = parts_[0].tokens + parts_[1].tokens;
    for (std::uint32_t turn = dice.whole(spec_.turns); turn > 0 && !draft.over(at_s); --turn) {
      parts_.push_back(dice.text(dice.tokens(spec_.input)));
      parts_.push_back(dice.text(dice.tokens(spec_.output)));
      const std::uint32_t output = parts_.back().tokens;
      context += parts_[parts_.size() - 2].tokens + output;
      if (context > spec_.context_tokens) return;
      draft.add_once(at_s, parts_, 1, output, group);
      at_s += spec_.pace.first_token_s + output * spec_.pace.token_s + dice.seconds(spec_.think_s);
    }
  }
  double mean_requests() const override { return spec_.turns.mean_whole(); }

 private:
  const Sessions& spec_;
  Scope scope_;
  Prefixes system_;
  std::vector<PromptPart> parts_;
};

class DocumentUnits final : public Units {
 public:
  DocumentUnits(const DocumentQuestions& spec, Scope scope)
      : spec_(spec),
        scope_(scope),
        system_(spec.system, scope, UnitContent::kPrefix),
        documents_(spec.documents, scope, UnitContent::kDocument) {}

  void add(std::uint64_t n, double at_s, Draft& draft) override {
    if (n == 0) groups_ = draft.new_groups(spec_.documents.count);
    UnitDice dice(scope_, n);
    const PromptPart system = system_.at(system_.pick(dice.random()));
    const std::uint32_t document = documents_.pick(dice.random());
    for (std::uint32_t left = dice.whole(spec_.questions); left > 0 && !draft.over(at_s); --left) {
      const std::array parts = {system, documents_.at(document),
                                dice.text(dice.tokens(spec_.question))};
      draft.add_once(at_s, parts, 0, dice.tokens(spec_.output), groups_ + document);
      at_s += dice.seconds(spec_.gap_s);
    }
  }
  double mean_requests() const override { return spec_.questions.mean_whole(); }

 private:
  const DocumentQuestions& spec_;
  Scope scope_;
  Prefixes system_;
  Prefixes documents_;
  std::uint32_t groups_ = 0;
};

// The shuffled deck of plan_synthetic(), dealt out in turn.
class SharedPrefixUnits final : public Units {
 public:
  SharedPrefixUnits(const SharedPrefixPrompts& spec, Scope scope) {
    SyntheticSettings settings;
    settings.prompts = spec;
    settings.loop = ClosedLoop{
        .concurrency = 1, .requests = spec.groups * spec.prompts_per_group, .length = {}};
    settings.seed = scope.seed;
    // Fails only for settings that parse_workload() refuses; then nothing is dealt.
    if (auto planned = plan_synthetic(settings)) deck_ = std::move(*planned);
  }

  void add(std::uint64_t n, double at_s, Draft& draft) override {
    if (deck_.requests.empty()) return;
    if (n == 0) groups_ = draft.new_groups(deck_.group_count);
    const PlannedRequest& card = deck_.requests[n % deck_.requests.size()];
    if (kept_.size() <= n && kept_.size() < deck_.requests.size()) {
      kept_.push_back(draft.keep(deck_.prompt(card), 0));
    }
    draft.add(at_s, kept_[n % kept_.size()], card.output_tokens, groups_ + card.group);
  }
  double mean_requests() const override { return 1; }

 private:
  Workload deck_;
  std::vector<Draft::Prompt> kept_;
  std::uint32_t groups_ = 0;
};

struct MakeUnits {
  Scope scope;
  std::unique_ptr<Units> operator()(const SharedPrefixPrompts& spec) const {
    return std::make_unique<SharedPrefixUnits>(spec, scope);
  }
  std::unique_ptr<Units> operator()(const SingleRequests& spec) const {
    return std::make_unique<SingleUnits>(spec, scope);
  }
  std::unique_ptr<Units> operator()(const Sessions& spec) const {
    return std::make_unique<SessionUnits>(spec, scope);
  }
  std::unique_ptr<Units> operator()(const AgentLoops& spec) const {
    return make_agent_units(spec, scope);
  }
  std::unique_ptr<Units> operator()(const DocumentQuestions& spec) const {
    return std::make_unique<DocumentUnits>(spec, scope);
  }
};

}  // namespace

Prefixes::Prefixes(const PrefixSet& set, const Scope& scope, UnitContent kind) {
  const auto stream = static_cast<std::uint64_t>(kind);
  Random random(unit_content_id(scope.seed, UnitContent::kPrefixDraws, stream));
  double sum = 0;
  for (std::uint32_t i = 0; i < set.count; ++i) {
    parts_.push_back({unit_content_id(scope.seed, kind, i), set.tokens.draw_whole(random)});
    up_to_.push_back(sum += std::pow(i + 1.0, -set.zipf));
  }
}

std::uint32_t Prefixes::pick(Random& random) const {
  const double point = random.uniform() * up_to_.back();
  const auto found = std::ranges::upper_bound(up_to_, point);
  return static_cast<std::uint32_t>(
      std::min<std::size_t>(static_cast<std::size_t>(found - up_to_.begin()), up_to_.size() - 1));
}

std::unique_ptr<Units> make_units(const Prompts& prompts, Scope scope) {
  return std::visit(MakeUnits{scope}, prompts);
}

}  // namespace fairlead::load
