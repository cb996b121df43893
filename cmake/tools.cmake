# SPDX-License-Identifier: Apache-2.0
# What stands beside the product: the test of tools/, tests driven by peers, the targets that
# gather benchmarks and fuzzers, and the install rules.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

add_test(NAME tidy_rules COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tools/tidy_test.py)
set_tests_properties(tidy_rules PROPERTIES LABELS tools TIMEOUT 300)

# A pytest file that drives the built program with the client libraries of .peers/; it finds the
# program in $FAIRLEAD_BINARY. Without .peers/ it is reported as skipped (tools/peers/pytest).
#
#   fairlead_peer_test(openai_client test/e2e/openai_client_test.py)
function(fairlead_peer_test name file)
  add_test(NAME ${name} COMMAND ${PROJECT_SOURCE_DIR}/tools/peers/pytest ${file})
  set_tests_properties(${name} PROPERTIES
    LABELS e2e SKIP_RETURN_CODE 77 TIMEOUT 600
    ENVIRONMENT "FAIRLEAD_BINARY=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/fairlead")
endfunction()

if(FAIRLEAD_FUZZ)
  # Has a planted bug: tools/fuzz runs it first and refuses to trust a rig that misses it.
  add_executable(fuzz_canary ${PROJECT_SOURCE_DIR}/fuzz/canary_fuzz.cpp)
  target_link_libraries(fuzz_canary PRIVATE fairlead_flags)
  target_link_options(fuzz_canary PRIVATE -fsanitize=fuzzer)
  get_property(fuzzers GLOBAL PROPERTY FAIRLEAD_FUZZERS)
  add_custom_target(fuzzers DEPENDS fuzz_canary ${fuzzers})
endif()

get_property(benches GLOBAL PROPERTY FAIRLEAD_BENCHES)
add_custom_target(benches DEPENDS ${benches})

include(GNUInstallDirs)
install(TARGETS fairlead RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES LICENSE NOTICE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
# The program has files of data/ inside; their licences go with it.
install(DIRECTORY data/traces DESTINATION ${CMAKE_INSTALL_DOCDIR}/data
  FILES_MATCHING PATTERN "LICENSE*" PATTERN "NOTICE*")
# Link-time optimisation may part an assembler label from its users.
set_source_files_properties(${PROJECT_BINARY_DIR}/generated/embedded_data.cpp
  TARGET_DIRECTORY fairlead_app PROPERTIES COMPILE_OPTIONS -fno-lto)
