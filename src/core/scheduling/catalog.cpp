// SPDX-License-Identifier: Apache-2.0
#include "core/scheduling/catalog.h"

#include "base/assert.h"
#include "core/scheduling/plugins/admitter/kv_room_admitter.h"
#include "core/scheduling/plugins/admitter/probabilistic_admitter.h"
#include "core/scheduling/plugins/filter/by_label_filter.h"
#include "core/scheduling/plugins/filter/concurrency_detector.h"
#include "core/scheduling/plugins/filter/decode_filter.h"
#include "core/scheduling/plugins/filter/encode_filter.h"
#include "core/scheduling/plugins/filter/header_based_testing_filter.h"
#include "core/scheduling/plugins/filter/label_selector_filter.h"
#include "core/scheduling/plugins/filter/prefill_filter.h"
#include "core/scheduling/plugins/filter/prefix_cache_affinity_filter.h"
#include "core/scheduling/plugins/filter/utilization_detector.h"
#include "core/scheduling/plugins/filter/utilization_filter.h"
#include "core/scheduling/plugins/picker/max_score_picker.h"
#include "core/scheduling/plugins/picker/power_of_two_picker.h"
#include "core/scheduling/plugins/picker/random_picker.h"
#include "core/scheduling/plugins/picker/round_robin_picker.h"
#include "core/scheduling/plugins/picker/weighted_random_picker.h"
#include "core/scheduling/plugins/reporter/request_attribute_reporter.h"
#include "core/scheduling/plugins/scorer/active_request_scorer.h"
#include "core/scheduling/plugins/scorer/bounded_hash_scorer.h"
#include "core/scheduling/plugins/scorer/cold_placement_cost_scorer.h"
#include "core/scheduling/plugins/scorer/context_length_aware.h"
#include "core/scheduling/plugins/scorer/dynamo_cost_scorer.h"
#include "core/scheduling/plugins/scorer/externality_cost_scorer.h"
#include "core/scheduling/plugins/scorer/kv_cache_utilization_scorer.h"
#include "core/scheduling/plugins/scorer/lmetric_cost_scorer.h"
#include "core/scheduling/plugins/scorer/load_aware_scorer.h"
#include "core/scheduling/plugins/scorer/lora_affinity_scorer.h"
#include "core/scheduling/plugins/scorer/mm_embeddings_cache_scorer.h"
#include "core/scheduling/plugins/scorer/no_hit_lru_scorer.h"
#include "core/scheduling/plugins/scorer/preble_cost_scorer.h"
#include "core/scheduling/plugins/scorer/prefix_cache_scorer.h"
#include "core/scheduling/plugins/scorer/queue_scorer.h"
#include "core/scheduling/plugins/scorer/running_requests_size_scorer.h"
#include "core/scheduling/plugins/scorer/session_affinity_scorer.h"
#include "core/scheduling/plugins/scorer/sglang_cache_aware_scorer.h"
#include "core/scheduling/plugins/scorer/token_load_scorer.h"

namespace fairlead::scheduling {

Registry builtin_registry() {
  Registry registry;
  const FilterSpec filters[] = {
      by_label_filter_spec(),
      by_label_selector_spec(),
      concurrency_detector_filter_spec(),
      context_length_aware_filter_spec(),
      decode_filter_spec(),
      encode_filter_spec(),
      header_based_testing_filter_spec(),
      label_selector_filter_spec(),
      prefill_filter_spec(),
      prefix_cache_affinity_filter_spec(),
      utilization_detector_filter_spec(),
      utilization_filter_spec(),
  };
  const ScorerSpec scorers[] = {
      active_request_scorer_spec(),
      bounded_hash_scorer_spec(),
      cold_placement_cost_scorer_spec(),
      context_length_aware_scorer_spec(),
      dynamo_cost_scorer_spec(),
      externality_cost_scorer_spec(),
      kv_cache_utilization_scorer_spec(),
      lmetric_cost_scorer_spec(),
      load_aware_scorer_spec(),
      lora_affinity_scorer_spec(),
      mm_embeddings_cache_scorer_spec(),
      no_hit_lru_scorer_spec(),
      preble_cost_scorer_spec(),
      prefix_cache_scorer_spec(),
      queue_scorer_spec(),
      running_requests_size_scorer_spec(),
      session_affinity_scorer_spec(),
      sglang_cache_aware_scorer_spec(),
      token_load_scorer_spec(),
  };
  const PickerSpec pickers[] = {
      max_score_picker_spec(),   power_of_two_picker_spec(),    random_picker_spec(),
      round_robin_picker_spec(), weighted_random_picker_spec(),
  };
  const AdmitterSpec admitters[] = {
      concurrency_detector_admitter_spec(),
      kv_room_admitter_spec(),
      probabilistic_admitter_spec(),
      utilization_detector_admitter_spec(),
  };
  for (const FilterSpec& spec : filters) FAIRLEAD_ASSERT(registry.add(spec).has_value());
  for (const ScorerSpec& spec : scorers) FAIRLEAD_ASSERT(registry.add(spec).has_value());
  for (const PickerSpec& spec : pickers) FAIRLEAD_ASSERT(registry.add(spec).has_value());
  for (const AdmitterSpec& spec : admitters) FAIRLEAD_ASSERT(registry.add(spec).has_value());
  FAIRLEAD_ASSERT(registry.add(request_attribute_reporter_spec()).has_value());
  return registry;
}

}  // namespace fairlead::scheduling
