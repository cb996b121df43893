// SPDX-License-Identifier: Apache-2.0
// fairlead_text: tokenizers and chat templates of a Hugging Face folder, in Rust behind a C ABI.
//
// Threads: a model is immutable; any thread may call any function on it, until
// fairlead_text_free(). Values come back through sinks, called before the function returns, with a
// pointer that is valid during the call; sinks must not throw, and a null one takes nothing.
// Errors: a status and a message for people, which names files, fields and lines of templates and
// never quotes a request. No Rust panic leaves these functions: it is FAIRLEAD_TEXT_INTERNAL.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

typedef struct FairleadTextModel FairleadTextModel;

typedef struct {
  const std::uint8_t* data;
  std::size_t size;
} FairleadText;

// `size` counts elements: bytes of text, tokens of std::uint32_t.
typedef void (*FairleadTextSink)(void* context, const void* data, std::size_t size);
typedef struct {
  void* context;
  FairleadTextSink sink;
} FairleadTextOut;

typedef enum {
  FAIRLEAD_TEXT_OK = 0,
  FAIRLEAD_TEXT_INVALID = 1,  // The folder, the request or the text cannot be read.
  FAIRLEAD_TEXT_LIMIT = 2,    // A template ran for too long, wrote too much, or would.
  FAIRLEAD_TEXT_REFUSED = 3,  // The template refused, or there is none for this request.
  FAIRLEAD_TEXT_INTERNAL = 4,
} FairleadTextStatus;

// Reads tokenizer.json, tokenizer_config.json, special_tokens_map.json, chat_template.jinja or
// chat_template.json, and additional_chat_templates/ of the folder.
FairleadTextStatus fairlead_text_load(FairleadText folder, FairleadTextModel** model,
                                      FairleadTextOut error);
void fairlead_text_free(FairleadTextModel* model);

// Tokens of UTF-8 text without special tokens around it.
FairleadTextStatus fairlead_text_encode(const FairleadTextModel* model, FairleadText text,
                                        FairleadTextOut tokens, FairleadTextOut error);

// What is to be tokenised: text, or, with an empty text, tokens that the client made itself.
// `special`: 1 when special tokens go around the text (fairlead_text_around). `media` counts parts
// that are no text. Both must not be null.
typedef struct {
  FairleadTextOut text;
  FairleadTextOut tokens;
  std::uint32_t* special;
  std::uint32_t* media;
} FairleadTextPrompt;

// The body of a chat request to the prompt. With `engine_form`, messages and tools are rewritten as
// vLLM does before its template sees them, and the assistant's turn is asked for by default; else
// as transformers' apply_chat_template takes them. `unix_seconds` is what templates that write the
// date believe it to be.
FairleadTextStatus fairlead_text_chat(const FairleadTextModel* model, FairleadText request,
                                      std::uint32_t engine_form, std::int64_t unix_seconds,
                                      FairleadTextPrompt prompt, FairleadTextOut error);

// The body of a completion request to the prompt; one with several prompts is refused.
FairleadTextStatus fairlead_text_completion(FairleadText request, FairleadTextPrompt prompt,
                                            FairleadTextOut error);

// 1 when the folder has a chat template.
std::uint32_t fairlead_text_has_chat(const FairleadTextModel* model);

// Where text may be cut (src/cuts.rs): before each separator; 1 when between lines too.
void fairlead_text_separators(const FairleadTextModel* model, FairleadTextOut each);
std::uint32_t fairlead_text_line_cuts(const FairleadTextModel* model);

// The special tokens that a completion's prompt gets in front and behind; 0 when they depend on the
// text.
std::uint32_t fairlead_text_around(const FairleadTextModel* model, FairleadTextOut before,
                                   FairleadTextOut after);

}  // extern "C"
