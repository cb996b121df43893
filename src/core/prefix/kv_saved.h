// SPDX-License-Identifier: Apache-2.0
// KvSavedPublisher: what a router keeps of one publisher of KV events over its own restart, beside
// the runs that its lane exports (kv_lane.h), as records of codec/restart_file.h.
//
// A save takes its time, and events go on being applied meanwhile. So a stream's place is noted
// when the save begins, and what came until its end may be in the file or not: it is told again by
// the replay from that place, and then a block that is there already is no copy
// (KvFeed::Saved::settled). A publisher whose caches changed hands in between is to be left out.
// Errors: none; what an image has that makes no sense is left out, so that it is told anew.
// Threads: the lane's writer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/codec/restart_file.h"
#include "core/prefix/event_stream.h"
#include "core/prefix/kv_feed.h"

namespace fairlead::prefix {

struct KvSavedPublisher {
  KvFeed::Saved feed;
  SavedStream stream;  // `next` is 0 where all is to be told anew.
};

// At the end of a save: `begun` is the stream's place at its beginning, `next` the number that it
// expects now.
KvSavedPublisher save_publisher(const KvFeed& feed, const SavedStream& begun, std::uint64_t next);
// All but whose it is.
codec::RestartPublisher to_record(const KvSavedPublisher& saved);
// Those that were there when the save began: `below` is the lane's domains() of then.
void save_domains(const KvFeedContext& context, KvDomain below, codec::RestartWriter& writer);

// Domains, caches and blocks of an image, into a lane that has none, before any feed asks. By the
// image's publishers.
std::vector<KvSavedPublisher> restore_index(const codec::RestartImage& image,
                                            KvFeedContext& context);
// The blocks alone: what slot s held is slots[s]'s, or nobody's. A run that was split or made anew
// while the export ran may be in the file twice, whole and in parts, so each is cut where another
// one begins: else a part would be looked for at its own beginning, inside of the whole one.
void import_runs(const codec::RestartRuns& runs, std::span<const std::uint32_t> slots,
                 KvLane& lane);
// It did not come back: what is known of it goes.
void forget_saved(const KvSavedPublisher& saved, KvFeedContext& context);

}  // namespace fairlead::prefix
