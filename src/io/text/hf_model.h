// SPDX-License-Identifier: Apache-2.0
// HfModel: tokenizer and chat template of a Hugging Face folder, through rust/text.
//
// Reads tokenizer.json, tokenizer_config.json, special_tokens_map.json, chat_template.jinja (or
// .json) and additional_chat_templates/. Errors: load() names the file and what is wrong with it;
// kUnavailable in a build without tokenizers (-DFAIRLEAD_TOKENS=OFF). Threads: immutable; any
// thread may use it.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "core/tokens/tokenizer.h"

struct FairleadTextModel;

namespace fairlead::text {

class HfModel final : public tokens::Tokenizer, public tokens::PromptReader {
 public:
  static Result<std::unique_ptr<HfModel>> load(const std::string& folder);
  ~HfModel() override;
  HfModel(const HfModel&) = delete;
  HfModel& operator=(const HfModel&) = delete;

  const tokens::CutRule& cuts() const override { return cuts_; }
  const tokens::Around* around() const override { return has_around_ ? &around_ : nullptr; }
  tl::expected<void, tokens::TextFailure> append(std::string_view text,
                                                 std::vector<std::uint32_t>& out) const override;
  tl::expected<tokens::Prompt, tokens::TextFailure> read(tokens::RequestForm form,
                                                         std::string_view body,
                                                         double unix_seconds) const override;

 private:
  explicit HfModel(FairleadTextModel* model);

  [[maybe_unused]] FairleadTextModel* model_;  // Null without tokenizers.
  tokens::CutRule cuts_;
  tokens::Around around_;
  bool has_around_ = false;
};

}  // namespace fairlead::text
