// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/engine.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/codec/http1_text.h"
#include "core/codec/json_text.h"
#include "core/tokens/block_hash.h"
#include "lab/engine/output_text.h"

namespace fairlead::engine {
namespace {

constexpr codec::Http1Header kEventStream{"content-type", "text/event-stream; charset=utf-8"};
constexpr codec::Http1Header kJson{"content-type", "application/json"};
constexpr std::uint64_t kShortestDraw = 16;
constexpr std::uint64_t kLongestDraw = 256;
// Names ever loaded; their numbers are never given to others.
constexpr std::size_t kAdaptersMax = 1024;
constexpr std::size_t kRequestIdMax = 256;
constexpr std::uint64_t kFaultStream = 0xfa;
// A tag is a generation's slot and a choice's number.
constexpr unsigned kChoiceBits = 16;
static_assert(kChoicesMax <= std::int64_t{1} << kChoiceBits);

bool without_delay(const EngineProfile& profile) {
  return profile.step_floor_s == 0 && profile.per_token_s == 0 && profile.attention_s == 0 &&
         profile.kv_read_s == 0 && profile.per_sequence_s == 0 && profile.host_overhead_s == 0;
}

EngineIdentity identity_of(const EngineOptions& options) {
  return {.model_name = options.served_names.front(),
          .block_size = options.profile.block_size,
          .num_gpu_blocks = options.profile.kv_tokens / options.profile.block_size};
}

// Messages and responses put their own before the rest.
std::string_view id_prefix(Api api) {
  switch (api) {
    case Api::kChat:
    case Api::kMessages:
      return "chatcmpl-";
    case Api::kResponses:
      return "";
    case Api::kEmbeddings:
      return "embd-";
    case Api::kRerank:
      return "rerank-";
    case Api::kTranscription:
      return "trsc-";
    default:
      return "cmpl-";
  }
}

ApiError injected(int status) {
  const bool internal = status == 500;
  return {.status = status,
          .message = internal ? "Internal server error (injected fault)."
                              : "The engine is not available (injected fault).",
          .type = internal ? "InternalServerError" : "ServiceUnavailableError",
          .param = {}};
}

}  // namespace

Engine::Engine(net::EventLoop& loop, EngineOptions options)
    : loop_(loop),
      options_(std::move(options)),
      instant_(without_delay(options_.profile)),
      model_(options_.profile, options_.seed),
      driver_(loop, model_, options_.speed, [this](const FinishedStep& step) { on_step(step); }),
      metrics_(identity_of(options_)),
      faults_(mix64(options_.seed + kFaultStream)) {
  for (const std::string& name : options_.adapters) adapters_.push_back({name, true});
  metrics_.restart(loop_.unix_seconds());
}

void Engine::publish_cache(std::unique_ptr<CacheEvents> events) {
  cache_events_ = std::move(events);
  model_.log_cache_to(&cache_log_);
  driver_.set_on_begun([this] {
    if (cache_log_.empty()) return;
    const bool lost = faults_.hit(FaultKind::kLoseEvents).has_value();
    cache_events_->publish(cache_log_, loop_.unix_seconds(),
                           lost ? Arrival::kLost : Arrival::kSent);
    cache_log_.clear();
  });
}

PromptUse Engine::prompt_use() const {
  return instant_ && !faults_.any_of_answers() ? PromptUse::kCount : PromptUse::kTokens;
}

std::optional<std::uint32_t> Engine::adapter_number(std::string_view name) const {
  if (name.empty() || std::ranges::count(options_.served_names, name) > 0) return 0;
  for (std::size_t i = 0; i < adapters_.size(); ++i) {
    if (adapters_[i].loaded && adapters_[i].name == name) return static_cast<std::uint32_t>(i + 1);
  }
  return std::nullopt;
}

std::string Engine::known_names() const {
  std::string names = fmt::format("{}", fmt::join(options_.served_names, ", "));
  for (const Adapter& adapter : adapters_) {
    if (adapter.loaded) names += ", " + adapter.name;
  }
  return names;
}

tl::expected<void, ApiError> Engine::check_model(std::string_view name) const {
  if (adapter_number(name)) return {};
  return tl::unexpected(unknown_model(name, known_names()));
}

// What can be said before any prompt is looked at.
tl::expected<void, ApiError> Engine::admit(const CompletionRequest& request) {
  if (auto known = check_model(request.model); !known) return known;
  for (const CompletionRequest::Prompt& prompt : request.prompts) {
    if (prompt.count >= options_.profile.max_model_len) {
      return tl::unexpected(context_overflow(options_.profile.max_model_len, prompt.count));
    }
  }
  for (const auto& [kind, status] :
       {std::pair{FaultKind::kError500, 500}, std::pair{FaultKind::kError503, 503}}) {
    if (!faults_.hit(kind)) continue;
    metrics_.add(Count::kFinishedError);
    return tl::unexpected(injected(status));
  }
  // A sequence aborted during a step counts as running to the step's end.
  const std::size_t running = model_.load().running;
  const std::size_t waiting = living_sequences_ > running ? living_sequences_ - running : 0;
  if (options_.max_waiting > 0 && waiting >= options_.max_waiting) {
    metrics_.add(Count::kRejected);
    return tl::unexpected(
        ApiError{.status = 429,
                 .message = fmt::format("{} requests are waiting, which is the limit.", waiting),
                 .type = "TooManyRequestsError",
                 .param = {}});
  }
  return {};
}

Engine::Length Engine::length_of(const CompletionRequest& request, std::int64_t prompt_tokens,
                                 std::uint64_t draw) const {
  const std::int64_t room = options_.profile.max_model_len - prompt_tokens;
  std::int64_t wanted = room;
  FinishReason finish = FinishReason::kLength;
  if (request.max_tokens) {
    wanted = *request.max_tokens;
  } else if (!request.ignore_eos) {
    wanted = static_cast<std::int64_t>(kShortestDraw + draw % (kLongestDraw - kShortestDraw + 1));
    if (wanted <= room) finish = FinishReason::kStop;
  }
  return {static_cast<std::uint32_t>(std::min(wanted, room)), finish};
}

// Puts the conversation that the request continues before its prompt.
tl::expected<void, ApiError> Engine::continue_response(CompletionRequest& request) const {
  if (request.previous_response.empty()) return {};
  const Conversation* const before = responses_.find(request.previous_response);
  if (before == nullptr) {
    return tl::unexpected(ApiError{
        .status = 404,
        .message = fmt::format("Response with id '{}' not found.", request.previous_response),
        .type = "NotFoundError",
        .param = "response_id"});
  }
  request.tokens.insert(request.tokens.begin(), before->tokens.begin(), before->tokens.end());
  request.prompts.front().count += before->count;
  return {};
}

void Engine::keep_response(const std::string& id, const CompletionRequest& request,
                           std::uint64_t seed, std::uint32_t output_tokens) {
  if (request.api != Api::kResponses || !request.store) return;
  Conversation conversation{request.tokens, request.prompts.front().count + output_tokens};
  if (!conversation.tokens.empty()) {
    append_output_tokens(conversation.tokens, seed, 0, output_tokens);
  }
  responses_.keep(fmt::format("resp_{}", id), std::move(conversation));
}

std::string Engine::make_id(const net::ServerExchange& exchange, Api api) {
  const std::string_view given = codec::header_value(exchange.head().headers, "x-request-id");
  std::string id(id_prefix(api));
  if (given.empty() || given.size() > kRequestIdMax) {
    fmt::format_to(std::back_inserter(id), "{:016x}", mix64(options_.seed + ++requests_));
  } else {
    id += given;
  }
  return id;
}

ResponseWriter Engine::make_writer(std::string id, const CompletionRequest& request) const {
  return {request.api,
          request.stream ? Delivery::kStream : Delivery::kWhole,
          {.id = std::move(id),
           .created = static_cast<std::int64_t>(loop_.unix_seconds()),
           .model = request.model.empty() ? options_.served_names.front() : request.model,
           .previous = request.previous_response},
          request.pooling};
}

GenerationSetup Engine::make_setup(const CompletionRequest& request) {
  GenerationSetup setup{.delivery = request.stream ? Delivery::kStream : Delivery::kWhole,
                        .include_usage = request.include_usage,
                        .continuous_usage = request.continuous_usage,
                        .pooling = is_pooling(request.api),
                        .stream_interval = options_.stream_interval,
                        .block_size = options_.profile.block_size,
                        .speed = options_.speed,
                        .faults = {}};
  if (const auto fault = faults_.hit(FaultKind::kAbortMidStream)) {
    setup.faults.abort_after = fault->events.value_or(1);
  }
  if (const auto fault = faults_.hit(FaultKind::kPartialWrite)) {
    setup.faults.partial_after = fault->events.value_or(1);
  }
  if (const auto fault = faults_.hit(FaultKind::kDelayFirstByte)) {
    setup.faults.delay = from_seconds(fault->duration_s.value_or(0));
  }
  return setup;
}

tl::expected<void, ApiError> Engine::begin(net::ServerExchange& exchange,
                                           CompletionRequest& request, PromptUse use) {
  if (auto continued = continue_response(request); !continued) return continued;
  if (auto admitted = admit(request); !admitted) return admitted;
  if (use == PromptUse::kCount) {
    answer_at_once(exchange, request);
    return {};
  }
  const std::uint32_t adapter = adapter_number(request.model).value_or(0);
  const std::string id = make_id(exchange, request.api);
  const std::uint32_t slot = take_slot();
  generations_[slot] =
      std::make_unique<Generation>(static_cast<GenerationHost&>(*this), slot, metrics_, exchange,
                                   make_writer(id, request), make_setup(request));
  Generation& generation = *generations_[slot];
  for (const CompletionRequest::Prompt& prompt : request.prompts) {
    const auto submitted = submit_prompt(generation, request, prompt, adapter);
    if (submitted) continue;
    exchange.set_observer(nullptr);
    on_generation_end(generation, GenerationEnd::kFault);
    return tl::unexpected(ApiError{.message = submitted.error().message, .param = {}});
  }
  const Choice& first = generation.choices().front();
  keep_response(id, request, first.seed, first.output_tokens);
  generation.begin();
  return {};
}

Result<void> Engine::submit_prompt(Generation& generation, const CompletionRequest& request,
                                   const CompletionRequest::Prompt& prompt, std::uint32_t adapter) {
  const auto block = static_cast<std::size_t>(options_.profile.block_size);
  const auto count = static_cast<std::size_t>(prompt.count);
  const std::span<const std::uint32_t> tokens(request.tokens.data() + prompt.begin, count);
  const std::uint64_t chain = tokens::chain_seed(
      options_.profile.model, adapter == 0 ? std::string_view() : adapters_[adapter - 1].name,
      request.cache_salt);
  auto prompt_hashes = std::make_shared<BlockHashes>();
  tokens::chain_block_hashes(tokens, block, chain, *prompt_hashes);
  const std::uint64_t parent = prompt_hashes->empty() ? chain : prompt_hashes->back();
  const std::span<const std::uint32_t> rest = tokens.subspan(count / block * block);
  const std::uint64_t identity = XXH3_64bits_withSeed(rest.data(), rest.size_bytes(), parent);
  const Length length = length_of(request, prompt.count, identity);
  const bool shares = !is_pooling(request.api) && request.api != Api::kTranscription;
  if (!shares) {
    // Such models read a prompt as a whole: what one left in the cache is of no use to the next.
    prompt_hashes->clear();
    tokens::chain_block_hashes(tokens, block, mix64(chain + ++requests_), *prompt_hashes);
  }
  for (std::int64_t i = 0; i < request.n; ++i) {
    const auto number = static_cast<std::uint64_t>(i);
    const std::uint64_t seed =
        mix64(identity ^ mix64(static_cast<std::uint64_t>(request.seed) + number));
    tail_.assign(rest.begin(), rest.end());
    append_output_tokens(tail_, seed, 0, length.tokens);
    auto hashes = std::make_shared<BlockHashes>(*prompt_hashes);
    tokens::chain_block_hashes(tail_, block, parent, *hashes);
    const std::uint64_t index = generation.choices().size();
    std::shared_ptr<SequenceContent> content;
    if (cache_events_ && shares) {
      content = std::make_shared<SequenceContent>();
      content->tokens.assign(tokens.begin(),
                             tokens.end() - static_cast<std::ptrdiff_t>(rest.size()));
      content->tokens.insert(content->tokens.end(), tail_.begin(), tail_.end());
      content->cache_salt = request.cache_salt;
      content->adapter_number = adapter;
      if (adapter != 0) content->adapter = adapters_[adapter - 1].name;
    }
    auto id = driver_.submit({.block_hashes = std::move(hashes),
                              .prompt_tokens = prompt.count,
                              .output_tokens = length.tokens,
                              .output_seed = seed,
                              .logged_blocks = content ? content->tokens.size() / block : 0,
                              .content = std::move(content),
                              .adapter = adapter,
                              .tag = (std::uint64_t{generation.slot()} << kChoiceBits) | index});
    if (!id) return tl::unexpected(id.error());
    ++living_sequences_;
    generation.add_choice(
        {.id = *id,
         .seed = seed,
         .prompt_tokens = prompt.count,
         .output_tokens = length.tokens,
         .finish = length.finish,
         .first_of_prompt = i == 0,
         .ready = driver_.model_now() + from_seconds(options_.profile.host_overhead_s)});
  }
  return {};
}

std::uint32_t Engine::take_slot() {
  ++running_requests_;
  if (free_slots_.empty()) {
    generations_.emplace_back();
    return static_cast<std::uint32_t>(generations_.size() - 1);
  }
  const std::uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

void Engine::on_step(const FinishedStep& step) {
  metrics_.observe(Sample::kStepTime, step.duration);
  metrics_.observe(Sample::kLag, step.lag);
  metrics_.observe(Sample::kStepTokens, step.tokens);
  for (const TokenEvent& event : step.events) {
    // Gone, when an earlier event of this step ended the generation.
    Generation* generation = generations_[event.tag >> kChoiceBits].get();
    if (generation == nullptr) continue;
    if (event.finished) --living_sequences_;
    generation->on_token(event.tag & ((1U << kChoiceBits) - 1), event);
  }
}

void Engine::on_generation_end(Generation& generation, GenerationEnd end) {
  if (end == GenerationEnd::kClientGone) metrics_.add(Count::kClientsGone);
  for (const Choice& choice : generation.choices()) {
    if (choice.finished()) continue;
    driver_.abort(choice.id);
    --living_sequences_;
    metrics_.add(Count::kFinishedAbort);
  }
  --running_requests_;
  free_slots_.push_back(generation.slot());
  loop_.destroy_later(std::move(generations_[generation.slot()]));
}

void Engine::answer_at_once(net::ServerExchange& exchange, const CompletionRequest& request) {
  const std::string id = make_id(exchange, request.api);
  ResponseWriter writer = make_writer(id, request);
  std::vector<AnswerPart> parts;
  UsageFigures usage;
  for (const CompletionRequest::Prompt& prompt : request.prompts) {
    const auto identity = mix64(static_cast<std::uint64_t>(prompt.count));
    const Length length = length_of(request, prompt.count, identity);
    usage.prompt_tokens += prompt.count;
    usage.completion_tokens += request.n * length.tokens;
    for (std::int64_t i = 0; i < request.n; ++i) {
      const auto number = static_cast<std::uint64_t>(request.seed + i);
      parts.push_back({.index = static_cast<std::uint32_t>(parts.size()),
                       .seed = mix64(number),
                       .begin = 0,
                       .count = length.tokens,
                       .finish = length.finish});
      metrics_.add(length.finish == FinishReason::kStop ? Count::kFinishedStop
                                                        : Count::kFinishedLength);
    }
  }
  keep_response(id, request, parts.front().seed, parts.front().count);
  metrics_.add(Count::kPromptTokens, static_cast<std::uint64_t>(usage.prompt_tokens));
  if (!is_pooling(request.api)) {
    metrics_.add(Count::kGenerationTokens, static_cast<std::uint64_t>(usage.completion_tokens));
  }
  if (request.stream) return stream_at_once(exchange, request, writer, parts, usage);
  text_.clear();
  writer.begin_whole(text_);
  for (const AnswerPart& part : parts) writer.whole_choice(text_, part);
  writer.end_whole(text_, usage);
  exchange.send_response(200, {kJson}, text_);
}

void Engine::stream_at_once(net::ServerExchange& exchange, const CompletionRequest& request,
                            const ResponseWriter& writer, std::span<const AnswerPart> parts,
                            const UsageFigures& usage) {
  exchange.start(200, {kEventStream}, codec::BodyFraming::chunked());
  const auto send = [&] {
    exchange.write_chunk(text_);
    text_.clear();
  };
  text_.clear();
  for (const AnswerPart& whole : parts) {
    UsageFigures so_far{
        .prompt_tokens = request.prompts[whole.index / static_cast<std::size_t>(request.n)].count};
    const UsageFigures* continuous = request.continuous_usage ? &so_far : nullptr;
    if (writer.has_roles()) {
      writer.role_event(text_, whole.index, continuous);
      send();
    }
    for (AnswerPart part = whole; part.begin < whole.count; part.begin += part.count) {
      // The first token goes alone, as from an engine that computes it.
      const std::uint32_t due = part.begin == 0 ? 1 : options_.stream_interval;
      part.count = std::min(due, whole.count - part.begin);
      const bool last = part.begin + part.count == whole.count;
      part.finish = last ? whole.finish : FinishReason::kNone;
      so_far.completion_tokens = part.begin + part.count;
      writer.part_event(
          text_, part, continuous,
          last && !request.include_usage ? Fingerprint::kGiven : Fingerprint::kOmitted);
      send();
    }
  }
  if (request.include_usage) {
    writer.usage_event(text_, usage);
    send();
  }
  writer.end_stream(text_, parts.front(), usage);
  send();
  exchange.finish();
}

tl::expected<void, ApiError> Engine::load_adapter(std::string_view name) {
  if (adapter_number(name)) {
    return tl::unexpected(
        ApiError{.message = fmt::format("The lora adapter '{}' has already been loaded.", name),
                 .type = "InvalidUserInput",
                 .param = "lora_name"});
  }
  const auto known = std::ranges::find(adapters_, name, &Adapter::name);
  if (known != adapters_.end()) {
    known->loaded = true;
    return {};
  }
  if (adapters_.size() >= kAdaptersMax) {
    return tl::unexpected(ApiError{
        .message =
            fmt::format("This engine has known {} adapters and takes no more.", kAdaptersMax),
        .param = "lora_name"});
  }
  adapters_.push_back({std::string(name), true});
  return {};
}

tl::expected<void, ApiError> Engine::unload_adapter(std::string_view name) {
  const auto number = adapter_number(name);
  if (!number || *number == 0) {
    return tl::unexpected(
        ApiError{.status = 404,
                 .message = fmt::format("The lora adapter '{}' cannot be found.", name),
                 .type = "NotFoundError",
                 .param = "lora_name"});
  }
  adapters_[*number - 1].loaded = false;
  return {};
}

void Engine::append_models(std::string& out) const {
  const auto created = static_cast<std::uint64_t>(loop_.unix_seconds());
  codec::JsonWriter json(out);
  json.begin_object().key("object").string("list").key("data").begin_array();
  const auto card = [&](std::string_view id, std::string_view root, std::string_view parent) {
    json.begin_object().key("id").string(id).key("object").string("model");
    json.key("created").number(created).key("owned_by").string("vllm").key("root").string(root);
    json.key("parent");
    if (parent.empty()) {
      json.raw("null");
    } else {
      json.string(parent);
    }
    json.key("max_model_len");
    if (parent.empty()) {
      json.number(options_.profile.max_model_len);
    } else {
      json.raw("null");
    }
    json.key("permission").begin_array().begin_object();
    json.key("id").string("modelperm-0").key("object").string("model_permission");
    json.key("created").number(created).key("allow_create_engine").raw("false");
    json.key("allow_sampling").raw("true").key("allow_logprobs").raw("true");
    json.key("allow_search_indices").raw("false").key("allow_view").raw("true");
    json.key("allow_fine_tuning").raw("false").key("organization").string("*");
    json.key("group").raw("null").key("is_blocking").raw("false");
    json.end_object().end_array().end_object();
  };
  for (const std::string& name : options_.served_names) card(name, options_.profile.model, {});
  for (const Adapter& adapter : adapters_) {
    if (adapter.loaded) card(adapter.name, adapter.name, options_.served_names.front());
  }
  json.end_array().end_object();
}

std::string Engine::adapter_names(std::uint32_t AdapterLoad::* count) const {
  std::string names;
  const auto loads = model_.adapters();
  for (std::size_t number = 1; number < loads.size(); ++number) {
    if (loads[number].*count == 0) continue;
    if (!names.empty()) names += ',';
    names += adapters_[number - 1].name;
  }
  return names;
}

void Engine::append_metrics(std::string& out) const {
  const EngineLoad load = model_.load();
  const EngineCounters& counters = model_.counters();
  EngineReadings readings{
      .running = static_cast<double>(load.running),
      .waiting = static_cast<double>(load.waiting),
      .kv_usage = load.kv_usage,
      .prefix_queries = counters.prefix_queries,
      .prefix_hits = counters.prefix_hits,
      .preemptions = counters.preemptions,
      .running_adapters = adapter_names(&AdapterLoad::running),
      .waiting_adapters = adapter_names(&AdapterLoad::waiting),
      .max_adapters = adapters_.empty() ? 0 : options_.profile.max_loras,
      .unix_seconds = loop_.unix_seconds(),
  };
  if (const Fault* lies = faults_.find(FaultKind::kLyingMetrics)) {
    readings.running = lies->running.value_or(readings.running);
    readings.waiting = lies->waiting.value_or(readings.waiting);
    readings.kv_usage = lies->kv_usage.value_or(readings.kv_usage);
  }
  metrics_.render(out, readings);
}

void Engine::restart() {
  free_slots_.clear();
  for (std::size_t slot = 0; slot < generations_.size(); ++slot) {
    if (generations_[slot] != nullptr) {
      generations_[slot]->reset_connection();
      loop_.destroy_later(std::move(generations_[slot]));
    }
    free_slots_.push_back(static_cast<std::uint32_t>(slot));
  }
  running_requests_ = 0;
  living_sequences_ = 0;
  responses_.clear();
  driver_.reset();
  cache_log_.clear();
  if (cache_events_) cache_events_->restart();
  metrics_.restart(loop_.unix_seconds());
}

}  // namespace fairlead::engine
