// SPDX-License-Identifier: Apache-2.0
#include "lab/load/model/workload_spec.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "core/config/section.h"

namespace fairlead::load {
namespace {

constexpr double kMostTokens = 1'000'000;
constexpr double kMaxSteps = 1'000;
constexpr double kMaxBranches = 64;
constexpr double kMaxGapSeconds = 86'400;
constexpr double kMaxRate = 100'000;
constexpr double kMostRequests = 2'000'000;
constexpr std::int64_t kMaxPrefixes = 100'000;
constexpr std::int64_t kMaxClients = 2'000;
constexpr std::size_t kMaxTenants = 64;
constexpr double kMaxZipf = 5;
constexpr double kMaxCompression = 1'000;
constexpr std::int64_t kDefaultContext = 131'072;

constexpr Quantity::Range kTokens{1, kMostTokens};
constexpr Quantity::Range kTokensOrNone{0, kMostTokens};
constexpr Quantity::Range kSteps{1, kMaxSteps};
constexpr Quantity::Range kGap{0, kMaxGapSeconds};

// No fallback: the key must be there.
Quantity read_quantity(config::Section& section, std::string_view key, Quantity::Range range,
                       std::optional<double> fallback = std::nullopt) {
  if (fallback && !section.has(key)) {
    section.skip(key);
    return Quantity::fixed(*fallback);
  }
  const std::string text = section.required_text(key);
  if (text.empty()) return Quantity::fixed(range.least);
  auto quantity = Quantity::parse(text, range);
  if (quantity) return *quantity;
  section.error(key, quantity.error().message);
  return Quantity::fixed(range.least);
}

double required_number(config::Section& section, std::string_view key, double min, double max) {
  if (!section.has(key)) {
    section.skip(key);
    section.error("", fmt::format("\"{}\" is missing", key));
    return min;
  }
  return section.number(key, min, min, max);
}

std::uint32_t read_whole(config::Section& section, std::string_view key, std::int64_t fallback,
                         std::int64_t most) {
  return static_cast<std::uint32_t>(section.integer(key, fallback, 1, most));
}

PrefixSet read_prefixes(config::Section& parent, std::string_view key) {
  PrefixSet set;
  if (!parent.has(key)) {
    parent.skip(key);
    return set;
  }
  config::Section section = parent.child(key);
  set.count = read_whole(section, "count", 1, kMaxPrefixes);
  set.tokens = read_quantity(section, "tokens", kTokens);
  set.zipf = section.number("zipf", 0, 0, kMaxZipf);
  section.finish();
  return set;
}

AssumedPace read_pace(config::Section& parent) {
  AssumedPace pace;
  config::Section section = parent.child("pace");
  pace.first_token_s = section.number("first_token_s", pace.first_token_s, 0, kMaxGapSeconds);
  pace.token_s = section.number("token_s", pace.token_s, 0, kMaxGapSeconds);
  section.finish();
  return pace;
}

std::uint32_t read_context(config::Section& section) {
  return read_whole(section, "context_tokens", kDefaultContext,
                    static_cast<std::int64_t>(kMostTokens));
}

SharedPrefixPrompts read_shared_prefix(config::Section& section) {
  constexpr auto kMost = static_cast<std::int64_t>(kMostTokens);
  SharedPrefixPrompts prompts;
  prompts.groups = read_whole(section, "groups", prompts.groups, kMaxPrefixes);
  prompts.prompts_per_group =
      read_whole(section, "prompts_per_group", prompts.prompts_per_group, kMaxPrefixes);
  prompts.system_tokens = read_whole(section, "system_tokens", prompts.system_tokens, kMost);
  prompts.question_tokens = read_whole(section, "question_tokens", prompts.question_tokens, kMost);
  prompts.output_tokens = read_whole(section, "output_tokens", prompts.output_tokens, kMost);
  if (double{1} * prompts.groups * prompts.prompts_per_group > kMostRequests) {
    section.error("groups",
                  fmt::format("times prompts_per_group must be at most {}", kMostRequests));
  }
  return prompts;
}

SingleRequests read_single(config::Section& section) {
  SingleRequests single;
  single.system = read_prefixes(section, "system");
  single.input = read_quantity(section, "input", kTokens);
  single.output = read_quantity(section, "output", kTokens);
  return single;
}

Sessions read_sessions(config::Section& section) {
  Sessions sessions;
  sessions.system = read_prefixes(section, "system");
  sessions.dynamic_system = read_quantity(section, "dynamic_system", kTokensOrNone, 0);
  sessions.turns = read_quantity(section, "turns", kSteps);
  sessions.input = read_quantity(section, "input", kTokens);
  sessions.output = read_quantity(section, "output", kTokens);
  sessions.think_s = read_quantity(section, "think_s", kGap);
  sessions.pace = read_pace(section);
  sessions.context_tokens = read_context(section);
  return sessions;
}

AgentLoops read_agents(config::Section& section) {
  AgentLoops agents;
  agents.tools = read_prefixes(section, "tools");
  agents.task = read_quantity(section, "task", kTokens);
  agents.steps = read_quantity(section, "steps", kSteps);
  agents.output = read_quantity(section, "output", kTokens);
  agents.result = read_quantity(section, "result", kTokens);
  agents.tool_s = read_quantity(section, "tool_s", kGap);
  agents.pace = read_pace(section);
  agents.context_tokens = read_context(section);
  if (!section.has("branch")) {
    section.skip("branch");
    return agents;
  }
  config::Section branch = section.child("branch");
  agents.branch.chance = required_number(branch, "chance", 0, 1);
  agents.branch.width = read_quantity(branch, "width", {1, kMaxBranches});
  agents.branch.steps = read_quantity(branch, "steps", kSteps);
  agents.branch.task = read_quantity(branch, "task", kTokens);
  branch.finish();
  return agents;
}

DocumentQuestions read_documents(config::Section& section) {
  DocumentQuestions questions;
  questions.system = read_prefixes(section, "system");
  if (!section.has("documents")) section.error("", "\"documents\" is missing");
  questions.documents = read_prefixes(section, "documents");
  questions.questions = read_quantity(section, "questions", kSteps);
  questions.question = read_quantity(section, "question", kTokens);
  questions.output = read_quantity(section, "output", kTokens);
  questions.gap_s = read_quantity(section, "gap_s", kGap);
  return questions;
}

constexpr std::string_view kPromptKinds[] = {"shared-prefix", "single", "sessions", "agentic",
                                             "documents"};

Prompts read_prompts(config::Section& section, std::string_view kind) {
  if (kind == "shared-prefix") return read_shared_prefix(section);
  if (kind == "sessions") return read_sessions(section);
  if (kind == "agentic") return read_agents(section);
  if (kind == "documents") return read_documents(section);
  return read_single(section);
}

// Nothing where the kind is missing or none of the words, which is then a problem.
std::string read_kind(config::Section& section, const std::vector<std::string_view>& words) {
  if (!section.has("kind")) {
    section.error("", "\"kind\" is missing");
    section.skip("kind");
    return "";
  }
  return section.choice("kind", "", words);
}

ArrivalLaw read_arrivals(config::Section& parent) {
  using Kind = ArrivalLaw::Kind;
  ArrivalLaw law;
  config::Section section = parent.child("arrivals");
  const std::string process =
      section.choice("process", "poisson", {"poisson", "constant", "gamma", "weibull", "on-off"});
  if (process == "constant") law.kind = Kind::kConstant;
  if (process == "gamma" || process == "weibull") {
    law.kind = process == "gamma" ? Kind::kGamma : Kind::kWeibull;
    law.cv = required_number(section, "cv", ArrivalLaw::kMinCv, ArrivalLaw::kMaxCv);
  }
  if (process == "on-off") {
    law.kind = Kind::kOnOff;
    law.on_s = required_number(section, "on_s", 0.1, kMaxGapSeconds);
    law.off_s = required_number(section, "off_s", 0.1, kMaxGapSeconds);
    law.off_rate = section.number("off_rate", 0, 0, 1);
  }
  section.finish();
  return law;
}

// Null where there is no kind to read.
std::optional<Prompts> read_prompts(config::Section& section) {
  const std::string kind = read_kind(section, {std::begin(kPromptKinds), std::end(kPromptKinds)});
  if (kind.empty()) return std::nullopt;
  return read_prompts(section, kind);
}

Sources read_tenants(config::Section& root) {
  Sources sources;
  std::vector<config::Section> sections = root.children("tenants");
  if (sections.empty() || sections.size() > kMaxTenants) {
    root.error("tenants", fmt::format("must be a list of 1 to {} tenants", kMaxTenants));
    return sources;
  }
  for (config::Section& section : sections) {
    auto prompts = read_prompts(section);
    if (!prompts) continue;
    Source source;
    source.prompts = *prompts;
    source.arrivals = read_arrivals(section);
    source.share = required_number(section, "share", 1e-6, 1e6);
    section.finish();
    sources.push_back(source);
  }
  return sources;
}

Clients read_clients(config::Section& root) {
  Clients clients;
  config::Section section = root.child("clients");
  clients.count = read_whole(section, "count", 1, kMaxClients);
  const double even = 1.0 / clients.count;
  clients.top_share = section.number("top_share", even, 0, 1);
  if (clients.top_share < even) {
    section.error("top_share",
                  fmt::format("{} clients give the first at least {:.3g}", clients.count, even));
  }
  clients.cv = read_quantity(section, "cv", {ArrivalLaw::kMinCv, ArrivalLaw::kMaxCv}, 1.0);
  clients.weibull = section.number("weibull", 0, 0, 1);
  clients.size = read_quantity(section, "size", {0.01, 100}, 1.0);
  section.finish();
  config::Section prompts = root.child("prompts");
  if (auto read = read_prompts(prompts)) {
    clients.prompts = *read;
    prompts.finish();
  }
  return clients;
}

TraceReplay read_replay(config::Section& root) {
  TraceReplay replay;
  replay.trace = root.required_text("trace");
  replay.settings.compression = root.number("compression", 1, 1e-3, kMaxCompression);
  replay.settings.from = from_seconds(root.number("from_s", 0, 0, 1e9));
  if (root.has("to_s")) replay.settings.to = from_seconds(root.number("to_s", 1e9, 0, 1e9));
  root.skip("to_s");
  const std::int64_t limit = root.integer("requests", static_cast<std::int64_t>(kMostRequests), 1,
                                          static_cast<std::int64_t>(kMostRequests));
  replay.settings.limit = static_cast<std::size_t>(limit);
  if (replay.settings.to <= replay.settings.from) root.error("to_s", "must be above from_s");
  return replay;
}

Ladder read_ladder(config::Section& root) {
  Ladder ladder;
  ladder.prompts = read_shared_prefix(root);
  const ArrivalLaw law = read_arrivals(root);
  ladder.loop.arrivals =
      law.kind == ArrivalLaw::Kind::kConstant ? Arrivals::kConstant : Arrivals::kPoisson;
  if (law.kind > ArrivalLaw::Kind::kConstant) {
    root.error("arrivals", "stages take the processes poisson and constant");
  }
  ladder.loop.pause = from_seconds(root.number("pause_s", 0, 0, kMaxGapSeconds));
  double total = 0;
  std::vector<config::Section> stages = root.children("stages");
  if (stages.empty()) root.error("stages", "must not be empty");
  for (config::Section& section : stages) {
    const std::size_t before = section.problem_count();
    RateStage stage;
    stage.rate = required_number(section, "rate", 1e-3, kMaxRate);
    const double length = required_number(section, "length_s", 1e-3, kMaxGapSeconds);
    stage.length = from_seconds(length);
    if (section.boolean("warm_up").value_or(false)) stage.kind = StageKind::kWarmUp;
    if (section.problem_count() == before && stage.rate * length < 1) {
      section.error("", "sends no request");
    }
    total += stage.rate * length;
    section.finish();
    ladder.loop.stages.push_back(stage);
  }
  if (total > kMostRequests) {
    root.error("stages", fmt::format("send more than {} requests", kMostRequests));
  }
  return ladder;
}

void read_run(config::Section& root, WorkloadSpec& spec) {
  spec.rate = required_number(root, "rate", 1e-3, kMaxRate);
  spec.length_s = required_number(root, "length_s", 1, kMaxGapSeconds);
  spec.lead_s = root.number("lead_s", 0, 0, kMaxGapSeconds);
  const std::int64_t most = root.integer("requests", static_cast<std::int64_t>(kMostRequests), 1,
                                         static_cast<std::int64_t>(kMostRequests));
  spec.requests = static_cast<std::size_t>(most);
  if (spec.rate * (spec.length_s + spec.lead_s) > kMostRequests) {
    root.error("rate",
               fmt::format("times length_s and lead_s is above {} requests", kMostRequests));
  }
}

void read_traffic(config::Section& root, WorkloadSpec& spec) {
  std::vector<std::string_view> kinds = {"trace", "tenants", "clients"};
  kinds.insert(kinds.end(), std::begin(kPromptKinds), std::end(kPromptKinds));
  spec.kind = read_kind(root, kinds);
  if (spec.kind.empty()) return;
  if (spec.kind == "trace") {
    spec.traffic = read_replay(root);
  } else if (spec.kind == "shared-prefix" && root.has("stages")) {
    spec.traffic = read_ladder(root);
  } else {
    if (spec.kind == "tenants") {
      spec.traffic = read_tenants(root);
    } else if (spec.kind == "clients") {
      spec.traffic = read_clients(root);
    } else {
      Source source;
      source.prompts = read_prompts(root, spec.kind);
      source.arrivals = read_arrivals(root);
      spec.traffic = Sources{source};
    }
    read_run(root, spec);
  }
  root.finish();
}

}  // namespace

Result<WorkloadSpec> parse_workload(std::string_view text, std::string_view file) {
  config::Problems problems;
  config::Section root = config::Section::parse(text, file, problems);
  WorkloadSpec spec;
  spec.name = root.required_text("name");
  spec.about = root.required_text("about");
  if (!root.has("use")) root.error("", "\"use\" is missing");
  spec.use = root.choice("use", "train", {"train", "validate"}) == "train" ? WorkloadUse::kTrain
                                                                           : WorkloadUse::kValidate;
  spec.seed = static_cast<std::uint64_t>(
      root.integer("seed", 1, 0, std::numeric_limits<std::int64_t>::max()));
  read_traffic(root, spec);
  if (!problems.has_errors()) return spec;
  std::string message = problems.to_string();
  while (message.ends_with('\n')) message.pop_back();
  return fail(ErrorCode::kInvalidArgument, "{}", message);
}

}  // namespace fairlead::load
