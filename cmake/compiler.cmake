# SPDX-License-Identifier: Apache-2.0
# Flags every target shares. Warnings are errors; lab results must be reproducible to the bit,
# so fused multiply-add contraction is off everywhere.
find_program(CCACHE ccache)
if(CCACHE)
  # Without this sloppiness ccache refuses files that use a precompiled header; its own check of
  # the header's content stays.
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()
if(FAIRLEAD_LTO)
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
endif()

add_library(fairlead_flags INTERFACE)
target_compile_options(fairlead_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -ffp-contract=off)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  target_compile_options(fairlead_flags INTERFACE -march=x86-64-v2)
endif()
target_include_directories(fairlead_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
if(FAIRLEAD_SANITIZE)
  target_compile_options(fairlead_flags INTERFACE
    -fsanitize=${FAIRLEAD_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${FAIRLEAD_SANITIZE})
endif()

# Headers that nearly every file reads cost more than all our own code: they are compiled once for
# all libraries and once for all tests. GCC only, because clang wants equal definitions everywhere;
# precompiled headers never hold our own headers, so that changing those stays cheap.
#
#   fairlead_precompile(fairlead_core_codec library)
function(fairlead_precompile target kind)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    return()
  endif()
  get_property(owner GLOBAL PROPERTY FAIRLEAD_PRECOMPILED_${kind})
  if(owner)
    target_precompile_headers(${target} REUSE_FROM ${owner})
    return()
  endif()
  set(headers <algorithm> <array> <chrono> <functional> <map> <memory> <optional> <span> <string>
    <string_view> <unordered_map> <vector> <fmt/format.h> <tl/expected.hpp>)
  if(kind STREQUAL "test")
    list(APPEND headers <gtest/gtest.h>)
  endif()
  # GCC 12 sees overflows in std::string where there are none (PR 105329, 105651) once the library
  # comes precompiled; clang checks the same code without these exceptions.
  target_compile_options(fairlead_flags INTERFACE
    -fpch-preprocess -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow
    -Wno-stringop-overread)
  target_precompile_headers(${target} PRIVATE ${headers})
  set_property(GLOBAL PROPERTY FAIRLEAD_PRECOMPILED_${kind} ${target})
endfunction()
