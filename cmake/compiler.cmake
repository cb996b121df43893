# SPDX-License-Identifier: Apache-2.0
# Flags every target shares. Warnings are errors; lab results must be reproducible to the bit,
# so fused multiply-add contraction is off everywhere.
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
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
