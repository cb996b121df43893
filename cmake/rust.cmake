# SPDX-License-Identifier: Apache-2.0
# Tokenizers: rust/text, built by cargo with its lock file into a static library that every preset
# shares. What cargo builds is kept by the hash of the lock file, so that only another set of crates
# builds them anew. -DFAIRLEAD_TOKENS=OFF leaves it out: the program then has byte keys only.
option(FAIRLEAD_TOKENS "Tokenizers and chat templates (needs cargo 1.85 or newer)" ON)

add_library(dep_fairlead_text INTERFACE)
if(NOT FAIRLEAD_TOKENS)
  return()
endif()

find_program(CARGO cargo PATHS $ENV{HOME}/.cargo/bin)
if(NOT CARGO)
  message(FATAL_ERROR
    "no cargo: run `make setup`, or leave tokenizers out with -DFAIRLEAD_TOKENS=OFF")
endif()
set(rust_dir ${PROJECT_SOURCE_DIR}/rust/text)
file(SHA256 ${rust_dir}/Cargo.lock rust_lock_hash)
string(SUBSTRING ${rust_lock_hash} 0 16 rust_lock_hash)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${rust_dir}/Cargo.lock)
set(rust_target ${PROJECT_SOURCE_DIR}/build/rust/${rust_lock_hash})
set(rust_library ${rust_target}/release/libfairlead_text.a)
file(GLOB_RECURSE rust_sources CONFIGURE_DEPENDS ${rust_dir}/src/*.rs)

# A compiler and flags that were chosen for C++ are not for cargo.
set(FAIRLEAD_CARGO ${CMAKE_COMMAND} -E env --unset=CC --unset=CXX --unset=CFLAGS --unset=CXXFLAGS
  CARGO_TARGET_DIR=${rust_target} ${CARGO})
add_custom_command(OUTPUT ${rust_library}
  COMMAND ${FAIRLEAD_CARGO} build --quiet --release --locked
  COMMAND ${CMAKE_COMMAND} -E touch ${rust_library}
  DEPENDS ${rust_sources} ${rust_dir}/Cargo.toml ${rust_dir}/Cargo.lock
  WORKING_DIRECTORY ${rust_dir} VERBATIM COMMENT "Building the Rust crate fairlead_text")
add_custom_target(fairlead_text_rust DEPENDS ${rust_library})

target_include_directories(dep_fairlead_text SYSTEM INTERFACE ${rust_dir}/include)
target_compile_definitions(dep_fairlead_text INTERFACE FAIRLEAD_TOKENS)
target_link_libraries(dep_fairlead_text INTERFACE ${rust_library} Threads::Threads dl m)
add_dependencies(dep_fairlead_text fairlead_text_rust)

add_test(NAME rust_text COMMAND ${FAIRLEAD_CARGO} test --quiet --release --locked --lib
  WORKING_DIRECTORY ${rust_dir})
set_tests_properties(rust_text PROPERTIES LABELS tools TIMEOUT 600)
