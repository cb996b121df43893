// SPDX-License-Identifier: Apache-2.0
// ApiError: a refusal as vLLM's API server words it, and the wording of those that several files
// need. Threads: values. Source: answers of vLLM 0.32.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fairlead::engine {

struct ApiError {
  int status = 400;
  std::string message;
  std::string type = "BadRequestError";
  std::string param;  // Empty: null.
};

// {"error":{"message":...,"type":...,"param":...,"code":...}}
std::string error_body(const ApiError& error);

// What the request model refuses: `kind` is pydantic's name of the fault, such as "missing", and
// `where` the path to it, such as "body.messages".
ApiError validation_error(std::string_view kind, std::string_view where, std::string_view message);
// A value out of range: "temperature must be non-negative, got -3.0."
ApiError parameter_error(std::string_view message, std::string_view name, std::string_view value);
ApiError unknown_model(std::string_view name, std::string_view known);
ApiError context_overflow(std::int64_t max_model_len, std::int64_t prompt_tokens);

}  // namespace fairlead::engine
