// SPDX-License-Identifier: Apache-2.0
// File descriptors: the process's limit, and how many client connections it allows.
// Threads: raise_descriptor_limit() before others start. Source: getrlimit(2).
#pragma once

#include <cstdint>

namespace fairlead::app {

// Raises the soft limit to the hard one; returns the limit in force.
std::uint64_t raise_descriptor_limit();

// A client connection and its request's connection to an engine take one each; some are kept back
// for files, probes and the admin address, which must answer when nothing else does.
std::uint32_t connections_for(std::uint64_t descriptors);

}  // namespace fairlead::app
