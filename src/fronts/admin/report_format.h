// SPDX-License-Identifier: Apache-2.0
// How decision reports and the fleet are written: JSON for programs and the page, a table for
// people. Names come from outside: they are escaped in JSON and stripped of control characters in
// text. Threads: pure functions. Append to `out`.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/codec/json_text.h"
#include "fronts/admin/explanation.h"

namespace fairlead::admin {

void append_report(const DecisionReport& report, codec::JsonWriter& json);
void append_report(const DecisionReport& report, std::string& out);

}  // namespace fairlead::admin
