# SPDX-License-Identifier: Apache-2.0
# A room is a folder under src/: its sources make a library, its *_test.cpp files one test
# program, each *_bench.cpp a benchmark and each *_fuzz.cpp a fuzzer (see docs/testing.md).
#
#   fairlead_room(core/codec DEPS base simdjson::simdjson)
#
# makes fairlead_core_codec, core_codec_test, bench_<name> and fuzz_<name>. With RECURSE the
# folders below it belong to the room too. TEST_DEPS are linked into tests and benchmarks only.
# JOIN_TESTS n compiles n test files at a time, always; APART names the files that FAIRLEAD_JOIN
# compiles by themselves, because names in their unnamed namespaces are another file's too.

# The rooms that use threads: their tests carry the label `concurrency`, and the thread-sanitizer
# build makes and runs these alone. Tests declared elsewhere join by the same label and target.
set(FAIRLEAD_CONCURRENT_ROOMS
  base core/access core/prefix io/net io/fleet io/text io/export router fronts/gateway
  fronts/extproc fronts/admin lab/engine lab/load)
add_custom_target(concurrency_tests)

# Those whose suites take longest begin first, so that none is left running alone at the end. The
# seconds need not be exact: where tests ran before, ctest knows better.
set(FAIRLEAD_LONG_ROOMS core/prefix io/net fronts/gateway lab/engine/model lab/load/model)

# What a room's files share, headers and the templates they make above all, takes longer to compile
# than the files do. Joined, a room takes half of the time; but an edit compiles the neighbours
# anew. So CI joins (tools/ci), and the sanitizer builds do.
option(FAIRLEAD_JOIN "Compile the files of a room several at a time" OFF)
set(FAIRLEAD_JOINED_MAX 12)

function(fairlead_join target count)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${count})
endfunction()

function(fairlead_room folder)
  cmake_parse_arguments(ROOM "RECURSE" "JOIN_TESTS" "DEPS;TEST_DEPS;APART" ${ARGN})
  string(REPLACE "/" "_" name ${folder})
  set(dir ${PROJECT_SOURCE_DIR}/src/${folder})
  if(ROOM_RECURSE)
    file(GLOB_RECURSE all CONFIGURE_DEPENDS ${dir}/*.cpp)
  else()
    file(GLOB all CONFIGURE_DEPENDS ${dir}/*.cpp ${dir}/testing/*.cpp)
  endif()
  foreach(file ${ROOM_APART})
    set_source_files_properties(${dir}/${file} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endforeach()
  set(tests ${all})
  set(benches ${all})
  set(fuzzers ${all})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER benches INCLUDE REGEX "_bench\\.cpp$")
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cpp$")
  set(sources ${all})
  list(FILTER sources EXCLUDE REGEX "_(test|bench|fuzz)\\.cpp$")

  if(sources)
    add_library(fairlead_${name} STATIC ${sources})
    fairlead_precompile(fairlead_${name} library)
    if(FAIRLEAD_JOIN)
      fairlead_join(fairlead_${name} ${FAIRLEAD_JOINED_MAX})
    endif()
    target_link_libraries(fairlead_${name} PUBLIC fairlead_flags)
    set(scope PUBLIC)
  else()
    add_library(fairlead_${name} INTERFACE)
    target_link_libraries(fairlead_${name} INTERFACE fairlead_flags)
    set(scope INTERFACE)
  endif()
  foreach(dep ${ROOM_DEPS})
    if(dep MATCHES "::" OR dep MATCHES "^dep_" OR dep MATCHES "^yaml-cpp$")
      target_link_libraries(fairlead_${name} ${scope} ${dep})
    else()
      string(REPLACE "/" "_" dep_name ${dep})
      target_link_libraries(fairlead_${name} ${scope} fairlead_${dep_name})
    endif()
  endforeach()

  set(test_deps)
  foreach(dep ${ROOM_TEST_DEPS})
    if(dep MATCHES "::" OR dep MATCHES "^dep_")
      list(APPEND test_deps ${dep})
    else()
      string(REPLACE "/" "_" dep_name ${dep})
      list(APPEND test_deps fairlead_${dep_name})
    endif()
  endforeach()
  if(tests)
    add_executable(${name}_test ${tests})
    fairlead_precompile(${name}_test test)
    fairlead_test_options(${name}_test)
    if(ROOM_JOIN_TESTS)
      fairlead_join(${name}_test ${ROOM_JOIN_TESTS})
    elseif(FAIRLEAD_JOIN)
      fairlead_join(${name}_test ${FAIRLEAD_JOINED_MAX})
    endif()
    target_link_libraries(${name}_test PRIVATE
      fairlead_${name} ${test_deps} dep_rapidcheck GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name}_test --gtest_brief=1)
    set_tests_properties(${name} PROPERTIES TIMEOUT 600)
    if(folder IN_LIST FAIRLEAD_LONG_ROOMS)
      set_tests_properties(${name} PROPERTIES COST 30)
    endif()
    if(folder IN_LIST FAIRLEAD_CONCURRENT_ROOMS)
      set_tests_properties(${name} PROPERTIES LABELS concurrency)
      add_dependencies(concurrency_tests ${name}_test)
    endif()
  endif()
  foreach(bench ${benches})
    get_filename_component(stem ${bench} NAME_WE)
    string(REGEX REPLACE "_bench$" "" stem ${stem})
    add_executable(bench_${stem} EXCLUDE_FROM_ALL ${bench})
    target_compile_definitions(bench_${stem} PRIVATE FAIRLEAD_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    target_link_libraries(bench_${stem} PRIVATE
      fairlead_${name} ${test_deps} benchmark::benchmark_main)
    set_property(GLOBAL APPEND PROPERTY FAIRLEAD_BENCHES bench_${stem})
  endforeach()
  if(FAIRLEAD_FUZZ)
    foreach(fuzzer ${fuzzers})
      get_filename_component(stem ${fuzzer} NAME_WE)
      string(REGEX REPLACE "_fuzz$" "" stem ${stem})
      add_executable(fuzz_${stem} ${fuzzer})
      target_link_libraries(fuzz_${stem} PRIVATE fairlead_${name} ${test_deps})
      target_link_options(fuzz_${stem} PRIVATE -fsanitize=fuzzer)
      set_property(GLOBAL APPEND PROPERTY FAIRLEAD_FUZZERS fuzz_${stem})
    endforeach()
  endif()
endfunction()
