// SPDX-License-Identifier: Apache-2.0
#include "io/text/hf_model.h"

#ifdef FAIRLEAD_TOKENS
#include <fairlead_text.h>
#endif

namespace fairlead::text {

#ifdef FAIRLEAD_TOKENS
namespace {

using tokens::TextFailure;

FairleadText view(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

FairleadTextOut to(std::string& out) {
  return {&out, [](void* context, const void* data, std::size_t size) {
            static_cast<std::string*>(context)->append(static_cast<const char*>(data), size);
          }};
}

FairleadTextOut to(std::vector<std::uint32_t>& out) {
  return {&out, [](void* context, const void* data, std::size_t size) {
            const auto* tokens = static_cast<const std::uint32_t*>(data);
            auto& all = *static_cast<std::vector<std::uint32_t>*>(context);
            all.insert(all.end(), tokens, tokens + size);
          }};
}

FairleadTextOut to(std::vector<std::string>& out) {
  return {&out, [](void* context, const void* data, std::size_t size) {
            auto& all = *static_cast<std::vector<std::string>*>(context);
            all.emplace_back(static_cast<const char*>(data), size);
          }};
}

constexpr FairleadTextOut kNowhere{nullptr, nullptr};

TextFailure failure(FairleadTextStatus status) {
  switch (status) {
    case FAIRLEAD_TEXT_INVALID:
      return TextFailure::kInvalid;
    case FAIRLEAD_TEXT_LIMIT:
      return TextFailure::kLimit;
    case FAIRLEAD_TEXT_REFUSED:
      return TextFailure::kRefused;
    case FAIRLEAD_TEXT_OK:
    case FAIRLEAD_TEXT_INTERNAL:
      break;
  }
  return TextFailure::kInternal;
}

}  // namespace

Result<std::unique_ptr<HfModel>> HfModel::load(const std::string& folder) {
  FairleadTextModel* model = nullptr;
  std::string message;
  const FairleadTextStatus status = fairlead_text_load(view(folder), &model, to(message));
  if (status == FAIRLEAD_TEXT_OK) return std::unique_ptr<HfModel>(new HfModel(model));
  return fail(ErrorCode::kInvalidArgument, "{}: {}", folder, message);
}

HfModel::HfModel(FairleadTextModel* model) : model_(model) {
  fairlead_text_separators(model_, to(cuts_.separators));
  cuts_.lines = fairlead_text_line_cuts(model_) != 0;
  has_around_ = fairlead_text_around(model_, to(around_.before), to(around_.after)) != 0;
}

HfModel::~HfModel() { fairlead_text_free(model_); }

tl::expected<void, TextFailure> HfModel::append(std::string_view text,
                                                std::vector<std::uint32_t>& out) const {
  const FairleadTextStatus status = fairlead_text_encode(model_, view(text), to(out), kNowhere);
  if (status != FAIRLEAD_TEXT_OK) return tl::unexpected(failure(status));
  return {};
}

tl::expected<tokens::Prompt, TextFailure> HfModel::read(tokens::RequestForm form,
                                                        std::string_view body,
                                                        double unix_seconds) const {
  tokens::Prompt prompt;
  std::uint32_t specials = 0;
  const FairleadTextPrompt out{to(prompt.text), to(prompt.ids), &specials, &prompt.media};
  FairleadTextStatus status = FAIRLEAD_TEXT_OK;
  if (form == tokens::RequestForm::kCompletion) {
    status = fairlead_text_completion(view(body), out, kNowhere);
  } else {
    const std::uint32_t engine = form == tokens::RequestForm::kChat ? 1 : 0;
    status = fairlead_text_chat(model_, view(body), engine, static_cast<std::int64_t>(unix_seconds),
                                out, kNowhere);
  }
  if (status != FAIRLEAD_TEXT_OK) return tl::unexpected(failure(status));
  if (specials != 0) prompt.specials = tokens::Prompt::Specials::kAround;
  return prompt;
}

#else

Result<std::unique_ptr<HfModel>> HfModel::load(const std::string& folder) {
  return fail(ErrorCode::kUnavailable,
              "{}: this program was built without tokenizers (-DFAIRLEAD_TOKENS=OFF)", folder);
}

HfModel::HfModel(FairleadTextModel* model) : model_(model) {}
HfModel::~HfModel() = default;

tl::expected<void, tokens::TextFailure> HfModel::append(std::string_view,
                                                        std::vector<std::uint32_t>&) const {
  return tl::unexpected(tokens::TextFailure::kInternal);
}

tl::expected<tokens::Prompt, tokens::TextFailure> HfModel::read(tokens::RequestForm,
                                                                std::string_view, double) const {
  return tl::unexpected(tokens::TextFailure::kInternal);
}

#endif

}  // namespace fairlead::text
