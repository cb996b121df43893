// SPDX-License-Identifier: Apache-2.0
// RequestFacts: what the picker needs to know of one request, from its head and body.
//
// A body is scanned once, in place; of prompts that fill a KV cache, blocks are hashed into keys.
// The other routes yield a model and a size, and are placed by load.
// The facts own their memory (model, session, keys), because a request may be decided again after
// the body's buffer or the scanner moved on; the memory is reused by the next request.
// Of opaque parts also a hash and a size each, for whoever remembers where they were sent.
// Where engines are listened to, the prompt is also tokenized, and its tokens become keys.
// Units: tokens are counted where the client sent token ids, else 4 bytes are one. Opaque parts
// (images) are part of the keys but not of the token count; an audio file counts by its bytes, and
// what only a tokenizer reads counts for nothing.
// Threads: thread-compatible.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/codec/chat_scanner.h"
#include "core/codec/http1.h"
#include "core/exchange/route.h"
#include "core/model/request.h"
#include "core/prefix/byte_keys.h"
#include "core/prefix/token_keys.h"
#include "core/tokens/estimated_prompt.h"
#include "core/tokens/tokenizer.h"

namespace fairlead::exchange {

// Whether images and sounds are hashed one by one, which only some policies ask for.
enum class MediaItems : std::uint8_t { kIgnored, kHashed };

// Who makes a model's tokens.
enum class TokenSource : std::uint8_t {
  kEstimate,   // The estimate rule, at once.
  kTokenizer,  // Its own tokenizer, which takes time: set_tokens() comes later.
  kNobody,     // Its engines make other tokens than anybody here.
};

// What is known of a model by its name.
class ModelNames {
 public:
  // Engines hold the blocks of adapters apart from those of their base models.
  virtual bool is_adapter(std::string_view model) = 0;
  virtual TokenSource token_source(std::string_view model) = 0;

 protected:
  ~ModelNames() = default;
};

// How prompts become keys of token blocks.
struct TokenSettings {
  const prefix::TokenKeys* keys = nullptr;                   // Null: they do not.
  const std::atomic<std::uint32_t>* block_tokens = nullptr;  // Null only without keys.
  ModelNames* models = nullptr;  // Null: all are base models, estimated.
};

struct KeySettings {
  std::uint64_t process_seed = 0;
  std::size_t block_bytes = prefix::kDefaultBlockBytes;
  MediaItems media = MediaItems::kIgnored;
  TokenSettings tokens{};
};

// What reading one body needs and the next may reuse: one a worker, because the pieces of a large
// body take several times its memory.
struct ReadingDesk {
  explicit ReadingDesk(std::size_t body_bytes_max) : scanner(body_bytes_max) {}
  codec::ChatScanner scanner;
  codec::ScannedRequest scanned;
  std::vector<prefix::Span> spans;
  tokens::EstimatedPrompt estimate;
  std::vector<std::uint32_t> tokens;
};

class RequestFacts {
 public:
  // Of a kScan route. After an error there are no facts. `served_model` stands in for the body's
  // where that can be replaced in the body; empty: none.
  [[nodiscard]] codec::ScanStatus read(Route route, std::span<const codec::Http1Header> headers,
                                       std::string_view body, const KeySettings& settings,
                                       ReadingDesk& desk, std::string_view served_model = {});
  // Of a kTunnel route, and of what is decided without its body: no prompt is known.
  void set_tunnel(std::string_view model, std::span<const codec::Http1Header> headers);
  // What the prompt is to be tokenized as, elsewhere; set_tokens() takes what comes of it.
  std::optional<tokens::RequestForm> token_form() const { return token_form_; }
  void set_tokens(std::span<const std::uint32_t> tokens, const TokenSettings& settings);
  // Also gives back what one large request took.
  void clear();
  // Bytes of a prompt that were announced, but not shown: they count, without keys.
  void add_unread(Route route, std::uint64_t bytes);
  // The id of the answer that it continues, by codec::AnswerIdHash; 0: none.
  std::uint64_t previous_response() const { return previous_response_; }
  void set_holder(model::EndpointRef holder) { holder_ = holder; }
  // The model that the body names, whatever stands in for it.
  std::string_view client_model() const { return model_replaced_ ? client_model_ : model_; }
  bool model_replaced() const { return model_replaced_; }
  // Where in the body it stands, with its quotes; empty when it is no JSON string.
  codec::ByteRange model_range() const { return model_range_; }

  // Views into this object, valid until the next call of the above.
  model::InferenceRequest request() const;

 private:
  void reset();
  void derive(Route route, const codec::ScannedRequest& scanned);
  void replace_model(const codec::ScannedRequest& scanned, std::string_view served_model);
  void derive_keys(const KeySettings& settings, ReadingDesk& desk);
  void derive_token_keys(Route route, const TokenSettings& settings, ReadingDesk& desk);
  void derive_media(std::uint64_t seed, const codec::ScannedRequest& scanned);

  std::vector<std::uint64_t> keys_;
  std::vector<std::uint64_t> token_keys_;
  std::vector<model::MediaItem> media_;
  std::string model_;
  std::string client_model_;
  std::string session_;
  std::string cache_salt_;  // Decoded; kept while tokens are wanted.
  codec::ByteRange model_range_;
  bool model_replaced_ = false;
  std::optional<tokens::RequestForm> token_form_;
  std::uint64_t prompt_tokens_ = 0;
  std::uint64_t max_output_tokens_ = 0;
  std::uint64_t previous_response_ = 0;
  std::optional<model::EndpointRef> holder_;
  std::uint32_t block_tokens_ = 1;
  std::uint32_t token_block_ = 0;
  model::Streaming streaming_ = model::Streaming::kWhole;
};

}  // namespace fairlead::exchange
