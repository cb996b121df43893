// SPDX-License-Identifier: Apache-2.0
// Disk: what is left of a router's process, and what the world knows of it. router_saved.cpp
// writes and reads it as router::Restart does, whose threads and files are left out.
// Threads: a value.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/random.h"
#include "base/time.h"

namespace fairlead::sim {

// Of the engines of which something is saved, by number: in which of its lives each told that.
using SavedLives = std::map<std::uint32_t, std::uint32_t>;

struct Disk {
  Duration every{};  // Between two saves; zero: nothing is ever saved.
  std::string file;
  SavedLives lives;
  bool damaged = false;
  std::size_t loaded = 0;   // Starts that went on from the file.
  std::size_t refused = 0;  // Starts that did without, because of what it was.

  // Cuts the file, or changes a byte of it.
  void damage(Random& random) {
    if (file.empty()) return;
    damaged = true;
    if (random.below(2) == 0) return file.resize(1 + random.below(file.size() - 1));
    char& byte = file[random.below(file.size())];
    byte = static_cast<char>(static_cast<unsigned char>(byte) ^ (1 + random.below(255)));
  }
};

}  // namespace fairlead::sim
