// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/unit_content.h"

namespace fairlead::load {
namespace {

// One line of an agent's work: what its next prompt begins with, and when it is sent.
struct Line {
  double at_s = 0;
  std::uint32_t context = 0;
  std::vector<PromptPart> parts;

  void append(PromptPart part) {
    parts.push_back(part);
    context += part.tokens;
  }
};

class AgentUnits final : public Units {
 public:
  AgentUnits(const AgentLoops& spec, Scope scope)
      : spec_(spec), scope_(scope), tools_(spec.tools, scope, UnitContent::kPrefix) {}

  void add(std::uint64_t n, double at_s, Draft& draft) override {
    UnitDice dice(scope_, n);
    const std::uint32_t group = draft.new_groups(1);
    Line trunk;
    trunk.at_s = at_s;
    trunk.append(tools_.at(tools_.pick(dice.random())));
    trunk.append(dice.text(dice.tokens(spec_.task)));
    for (std::uint32_t left = dice.whole(spec_.steps); left > 0; --left) {
      if (!ask(trunk, group, dice, draft) || left == 1) return;
      if (dice.random().uniform() < spec_.branch.chance) {
        fork(trunk, group, dice, draft);
      } else {
        use_tool(trunk, dice);
      }
    }
  }

  double mean_requests() const override {
    const double steps = spec_.steps.mean_whole();
    if (spec_.branch.chance == 0) return steps;
    const double forks = (steps - 1) * spec_.branch.chance;
    return steps + forks * spec_.branch.width.mean_whole() * spec_.branch.steps.mean_whole();
  }

 private:
  // Sends what the line has and appends the answer; false, where it ends.
  bool ask(Line& line, std::uint32_t group, UnitDice& dice, Draft& draft) {
    const PromptPart answer = dice.text(dice.tokens(spec_.output));
    if (draft.over(line.at_s) || line.context + answer.tokens > spec_.context_tokens) return false;
    line.append(answer);
    draft.add_once(line.at_s, line.parts, 1, answer.tokens, group);
    line.at_s += spec_.pace.first_token_s + answer.tokens * spec_.pace.token_s;
    return true;
  }

  void use_tool(Line& line, UnitDice& dice) {
    line.append(dice.text(dice.tokens(spec_.result)));
    line.at_s += dice.seconds(spec_.tool_s);
  }

  void fork(Line& trunk, std::uint32_t group, UnitDice& dice, Draft& draft) {
    const Line start = trunk;
    for (std::uint32_t branches = dice.whole(spec_.branch.width); branches > 0; --branches) {
      Line branch = start;
      branch.append(dice.text(dice.tokens(spec_.branch.task)));
      for (std::uint32_t left = dice.whole(spec_.branch.steps); left > 0; --left) {
        if (!ask(branch, group, dice, draft)) break;
        if (left == 1) trunk.append(branch.parts.back());
        if (left > 1) use_tool(branch, dice);
      }
      trunk.at_s = std::max(trunk.at_s, branch.at_s);
    }
  }

  const AgentLoops& spec_;
  Scope scope_;
  Prefixes tools_;
};

}  // namespace

std::unique_ptr<Units> make_agent_units(const AgentLoops& agents, Scope scope) {
  return std::make_unique<AgentUnits>(agents, scope);
}

}  // namespace fairlead::load
