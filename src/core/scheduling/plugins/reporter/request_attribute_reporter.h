// SPDX-License-Identifier: Apache-2.0
// request-attribute-reporter: a number made of an answer's usage, for the rate limiting of the
// proxy in front. Parameters: attributes, exactly one {key {namespace envoy.lb, name}, expression,
// condition}; both are usage expressions (core/scheduling/usage_expression.h), a number and, where
// given, a truth that must hold. The number is cut to a whole one; 0 is not reported.
// Absence: what needs a figure that the answer did not tell is not reported. Units: as written.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ReporterSpec request_attribute_reporter_spec();

}  // namespace fairlead::scheduling
