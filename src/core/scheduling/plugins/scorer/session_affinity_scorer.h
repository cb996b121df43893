// SPDX-License-Identifier: Apache-2.0
// session-affinity-scorer: 1 for the endpoint that the client's session token names, else 0. The
// token is the endpoint's name in base64, returned in the x-session-token response header.
// Parameters: strategy encoded_endpoint_header (the only one built in).
// Absence: a request without a token, or with one that names nobody, scores 0 everywhere.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

ScorerSpec session_affinity_scorer_spec();

}  // namespace fairlead::scheduling
