// SPDX-License-Identifier: Apache-2.0
// File descriptors: the process's limit, and how many client connections it allows.
// Threads: raise_descriptor_limit() before others start. Source: getrlimit(2).
#pragma once

#include <cstdint>
#include <string>

namespace fairlead::app {

// Raises the soft limit to the hard one; returns the limit in force.
std::uint64_t raise_descriptor_limit();
// What raise_descriptor_limit() can reach.
std::uint64_t hard_descriptor_limit();

// Client connections that a process may have: one descriptor each, and some are kept back for
// files, probes and the admin address, which must answer when nothing else does. Their requests
// take another each; the overload manager keeps both within the limit.
std::uint32_t connections_for(std::uint64_t descriptors);

// What to tell of so many connections; empty when each of them may have a request.
std::string descriptor_doubt(std::uint32_t connections, std::uint64_t descriptors);

}  // namespace fairlead::app
