// SPDX-License-Identifier: Apache-2.0
// header-based-testing-filter, for conformance tests only: keeps the endpoints that the request
// header test-epp-endpoint-selection lists, comma separated, each as IP or IP:port, in its order.
// An entry without a port stands for every port of that address. An IPv6 address is in brackets
// where a port follows. Parameters: none. Absence: without the header, or with one that names
// nobody, the set is empty.
#pragma once

#include "core/scheduling/plugin.h"

namespace fairlead::scheduling {

FilterSpec header_based_testing_filter_spec();

}  // namespace fairlead::scheduling
