// SPDX-License-Identifier: Apache-2.0
#include "lab/engine/api_error.h"

#include <fmt/format.h>

#include "core/codec/json_text.h"

namespace fairlead::engine {

std::string error_body(const ApiError& error) {
  std::string out;
  codec::append_error_body(out, {.message = error.message,
                                 .type = error.type,
                                 .param = error.param,
                                 .code = {},
                                 .status = error.status});
  return out;
}

ApiError validation_error(std::string_view kind, std::string_view where, std::string_view message) {
  return {
      .status = 400,
      .message = fmt::format("1 validation error:\n  {{'type': '{}', 'loc': '{}', 'msg': '{}'}}",
                             kind, where, message),
      .type = "Bad Request",
      .param = std::string(where)};
}

ApiError parameter_error(std::string_view message, std::string_view name, std::string_view value) {
  return {.message = fmt::format("{} (parameter={}, value={})", message, name, value),
          .param = std::string(name)};
}

ApiError unknown_model(std::string_view name, std::string_view known) {
  return {.status = 404,
          .message = fmt::format("The model `{}` does not exist. Valid aliases: {}.", name, known),
          .type = "NotFoundError",
          .param = "model"};
}

ApiError context_overflow(std::int64_t max_model_len, std::int64_t prompt_tokens) {
  return parameter_error(
      fmt::format("This model's maximum context length is {} tokens. However, your prompt contains "
                  "{} input tokens, which exceeds this limit even without any output tokens. "
                  "Please reduce the length of the input prompt.",
                  max_model_len, prompt_tokens),
      "input_tokens", fmt::format("{}", prompt_tokens));
}

}  // namespace fairlead::engine
