// SPDX-License-Identifier: Apache-2.0
// WorkloadSpec: what a file of data/workloads says: prompts of one kind, how they arrive, for how
// long, and a seed. docs/workloads.md describes the file key by key; workload_plan.h makes the
// requests. Rates are requests a second of model time, also where sessions of several arrive.
// Values. Pure; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "lab/load/model/arrival_law.h"
#include "lab/load/model/quantity.h"
#include "lab/load/model/synthetic.h"
#include "lab/load/model/trace.h"

namespace fairlead::load {

// Prefixes that requests share: system prompts, sets of tools, documents. Each has its length drawn
// once; the n-th is chosen in proportion to n^-zipf.
struct PrefixSet {
  std::uint32_t count = 1;
  Quantity tokens;  // 0: there is none.
  double zipf = 0;
};

// How long an answer is assumed to take, because the next turn is planned before the run.
struct AssumedPace {
  double first_token_s = 0.5;
  double token_s = 0.03;
};

// Requests that share at most a system prompt.
struct SingleRequests {
  PrefixSet system;
  Quantity input;
  Quantity output;
};

// Conversations: a turn's prompt is everything said so far, answers included, and the new input.
struct Sessions {
  PrefixSet system;
  Quantity dynamic_system;  // After the shared system prompt, one a session.
  Quantity turns;
  Quantity input;
  Quantity output;
  Quantity think_s;
  AssumedPace pace;
  std::uint32_t context_tokens = 0;  // A session ends where prompt and answer would exceed it.
};

// After a step, with probability `chance`, `width` branches go on from one prefix at a time, each
// with a task of its own; their last answers join the trunk when all have ended.
struct Branching {
  double chance = 0;
  Quantity width;
  Quantity steps;
  Quantity task;
};

// Agents: steps that append the answer and a tool's result to the prompt.
struct AgentLoops {
  PrefixSet tools;
  Quantity task;
  Quantity steps;
  Quantity output;
  Quantity result;
  Quantity tool_s;
  Branching branch;
  AssumedPace pace;
  std::uint32_t context_tokens = 0;
};

// Visits to a corpus: a few questions about one document, each by itself.
struct DocumentQuestions {
  PrefixSet system;
  PrefixSet documents;
  Quantity questions;
  Quantity question;
  Quantity output;
  Quantity gap_s;
};

using Prompts =
    std::variant<SharedPrefixPrompts, SingleRequests, Sessions, AgentLoops, DocumentQuestions>;

struct Source {
  Prompts prompts;
  ArrivalLaw arrivals;
  double share = 1;  // Of the rate, beside the shares of the others.
};

// Superposition of clients, as ServeGen describes traffic: their rates fall as n^-s, with s such
// that the first has `top_share` of the rate; each has its own prefixes, and gaps of its own law.
struct Clients {
  std::uint32_t count = 1;
  double top_share = 1;
  Quantity cv;         // Of a client's gaps.
  double weibull = 0;  // Probability that a client's gaps are Weibull, not Gamma.
  Quantity size;       // A client's tokens over those of `prompts`.
  Prompts prompts;
};

struct TraceReplay {
  std::string trace;  // A shipped trace or a file.
  ReplaySettings settings;
};

// The rungs of a ladder, each from its start to its drain.
struct Ladder {
  SharedPrefixPrompts prompts;
  OpenLoop loop;
};

// One source, or several.
using Sources = std::vector<Source>;

enum class WorkloadUse : std::uint8_t { kTrain, kValidate };

struct WorkloadSpec {
  std::string name;
  std::string about;
  std::string kind;  // As written.
  WorkloadUse use = WorkloadUse::kTrain;
  std::uint64_t seed = 1;
  std::variant<TraceReplay, Ladder, Sources, Clients> traffic;
  // Of Sources and Clients.
  double rate = 0;
  double length_s = 0;
  double lead_s = 0;         // Sessions that began so long before the run are under way.
  std::size_t requests = 0;  // At most so many.
};

// Strict; the message has a line "file:line: path: what" for every problem.
Result<WorkloadSpec> parse_workload(std::string_view text, std::string_view file);

}  // namespace fairlead::load
