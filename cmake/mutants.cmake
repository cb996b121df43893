# SPDX-License-Identifier: Apache-2.0
# The files of src/ in which bugs stand on purpose (src/base/mutant.h). sim_mutants compiles them
# once more, with the bugs in, and links everything else as it ships. So that its objects stand in
# for the libraries' own, each of these is a translation unit of its own in joined builds too.
set(FAIRLEAD_MUTATED
  core/access/key_usage.cpp
  core/codec/restart_file.cpp
  core/codec/sse_scanner.cpp
  core/exchange/extproc_response.cpp
  core/fleet/fleet.cpp
  core/fleet/health.cpp
  core/fleet/inflight_table.cpp
  core/picker/candidate_builder.cpp
  core/picker/picker.cpp
  core/prefix/event_stream.cpp
  core/prefix/kv_feed.cpp
  core/prefix/kv_index.cpp
  core/prefix/kv_saved.cpp
  core/prefix/kv_trie_runs.cpp)
list(TRANSFORM FAIRLEAD_MUTATED PREPEND ${PROJECT_SOURCE_DIR}/src/)
