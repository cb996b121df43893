// SPDX-License-Identifier: Apache-2.0
// From the raw payloads of engines to the updated index: what the driver's mode `frames` measures.
// Single-threaded.
#pragma once

#include <map>
#include <string>

namespace fairlead::bench {

// frames_mblocks_<n>: millions of blocks a second of processor time, in events of n blocks;
// frames_mevents_1: events of one block. Blocks have 16 tokens, in the encoding of maps.
// Empty when the index did not take every block.
std::map<std::string, double> frames();

}  // namespace fairlead::bench
