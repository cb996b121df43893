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
# all libraries, once for all tests and once for the command line. They never hold our own headers,
# so that changing those stays cheap.
#
#   fairlead_precompile(fairlead_core_codec library)
set(FAIRLEAD_PRECOMPILED_library <algorithm> <array> <chrono> <functional> <map> <memory> <optional>
  <span> <string> <string_view> <unordered_map> <vector> <fmt/format.h> <tl/expected.hpp>)
set(FAIRLEAD_PRECOMPILED_test ${FAIRLEAD_PRECOMPILED_library} <gtest/gtest.h>)
set(FAIRLEAD_PRECOMPILED_app ${FAIRLEAD_PRECOMPILED_library} <CLI/CLI.hpp>)

function(fairlead_precompile target kind)
  get_property(owner GLOBAL PROPERTY FAIRLEAD_PRECOMPILED_OWNER_${kind})
  if(owner)
    target_precompile_headers(${target} REUSE_FROM ${owner})
    return()
  endif()
  target_precompile_headers(${target} PRIVATE ${FAIRLEAD_PRECOMPILED_${kind}})
  set_property(GLOBAL PROPERTY FAIRLEAD_PRECOMPILED_OWNER_${kind} ${target})
endfunction()

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 sees overflows in std::string where there are none (PR 105329, 105651) once the library
  # comes precompiled; clang checks the same code without these exceptions.
  target_compile_options(fairlead_flags INTERFACE
    -fpch-preprocess -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow
    -Wno-stringop-overread)
else()
  # clang wants equal definitions wherever a precompiled header is used. Those that differ here
  # (FMT_SHARED, our own) mean nothing to the headers in it, so its check is off. A header without
  # a time stamp lets ccache use it.
  target_compile_options(fairlead_flags INTERFACE
    "SHELL:-Xclang -fno-validate-pch" "SHELL:-Xclang -fno-pch-timestamp")
endif()

# Tests call optimised libraries; their own code runs once, so optimising it costs more than it
# saves. No coverage for the fuzzers either, where a sanitizer build adds it.
function(fairlead_test_options target)
  target_compile_options(${target} PRIVATE -O0)
  # For all of them, because definitions that differ spoil a precompiled header.
  target_compile_definitions(${target} PRIVATE FAIRLEAD_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  if(FAIRLEAD_SANITIZE)
    target_compile_definitions(${target} PRIVATE FAIRLEAD_SANITIZED)
  endif()
  if(FAIRLEAD_SANITIZE MATCHES "fuzzer")
    target_compile_options(${target} PRIVATE -fno-sanitize=fuzzer-no-link)
  endif()
endfunction()
