// SPDX-License-Identifier: Apache-2.0
// The style sheet of the HTML report: light and dark by the reader's preference, system fonts,
// print. Series colours are chosen to stay apart under the common colour-vision deficiencies
// (after Okabe and Ito, jfly.uni-koeln.de/color) and to reach 3:1 contrast on both backgrounds.
#pragma once

#include <string_view>

namespace fairlead::load {

extern const std::string_view kReportStyle;

}  // namespace fairlead::load
