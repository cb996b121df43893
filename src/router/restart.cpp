// SPDX-License-Identifier: Apache-2.0
#include "router/restart.h"

#include <algorithm>
#include <utility>

namespace fairlead::router {
namespace {

constexpr std::string_view kFileName = "restart.bin";
constexpr const char* kSavesHelp =
    "Saves for a restart: whole, cut at restart.bytesMax, failed, or skipped while one ran.";
constexpr const char* kLoadsHelp =
    "What a start found: a usable file, none, or one that it refused.";
// Of one endpoint; its record holds so many, each a stretch of its own.
constexpr std::size_t kHistoryBlocksMax = 900'000;
// A lower bytesMax than before must not void the file.
constexpr std::size_t kReadAtLeast = std::size_t{64} << 20;

}  // namespace

Restart::Cells::Cells(MetricRegistry& registry)
    : whole(registry.counter("fairlead_restart_saves_total", kSavesHelp, {{"result", "ok"}})),
      cut(registry.counter("fairlead_restart_saves_total", kSavesHelp, {{"result", "cut"}})),
      failed(registry.counter("fairlead_restart_saves_total", kSavesHelp, {{"result", "failed"}})),
      skipped(
          registry.counter("fairlead_restart_saves_total", kSavesHelp, {{"result", "skipped"}})),
      bytes(registry.gauge("fairlead_restart_save_bytes", "Size of the last save.")),
      seconds(registry.gauge("fairlead_restart_save_seconds", "How long the last save took.")),
      saved_at(registry.gauge("fairlead_restart_saved_timestamp_seconds",
                              "When the last save was made.")),
      loaded(registry.counter("fairlead_restart_loads_total", kLoadsHelp, {{"result", "ok"}})),
      none(registry.counter("fairlead_restart_loads_total", kLoadsHelp, {{"result", "none"}})),
      refused(
          registry.counter("fairlead_restart_loads_total", kLoadsHelp, {{"result", "refused"}})),
      endpoints(registry.counter("fairlead_restart_endpoints_total",
                                 "Endpoints of which something was known from before.")) {}

Result<std::unique_ptr<Restart>> Restart::open(const config::RestartSettings& settings,
                                               std::uint64_t block_bytes,
                                               std::optional<std::uint64_t> key_seed, Log& log,
                                               MetricRegistry& metrics) {
  auto file = exporting::StateFile::open(settings.directory, kFileName);
  if (!file) return with_context(file.error(), "restart.directory");
  std::unique_ptr<Restart> restart(
      new Restart(settings, block_bytes, log, metrics, std::move(*file)));
  restart->load(key_seed);
  return restart;
}

Restart::Restart(const config::RestartSettings& settings, std::uint64_t block_bytes, Log& log,
                 MetricRegistry& metrics, std::unique_ptr<exporting::StateFile> file)
    : settings_(settings),
      block_bytes_(block_bytes),
      log_(log),
      cells_(metrics),
      file_(std::move(file)),
      opened_(clock_.now()) {}

Restart::~Restart() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Restart::load(std::optional<std::uint64_t> key_seed) {
  auto read = file_->read(std::max(2 * settings_.bytes_max, kReadAtLeast));
  if (!read) {
    cells_.refused.add();
    log_.warning("starting without what was saved: {}", read.error().message);
    return;
  }
  if (!*read) {
    cells_.none.add();
    log_.info("nothing is saved in {} yet", settings_.directory);
    return;
  }
  bytes_ = std::move(**read);
  auto image = std::make_unique<codec::RestartImage>();
  if (const auto fault = codec::read_restart(bytes_, *image)) {
    cells_.refused.add();
    log_.warning("starting without what was saved: {}, {}", file_->path(), fault->describe());
    bytes_ = {};
    return;
  }
  if (key_seed && image->head.key_seed != *key_seed) {
    cells_.refused.add();
    log_.warning(
        "starting without what was saved: {} is of other prefix keys, because "
        "replicas.secretFile is new or another",
        file_->path());
    bytes_ = {};
    return;
  }
  image_ = std::move(image);
  cells_.loaded.add();
  for (std::uint32_t i = 0; i < image_->endpoints.size(); ++i) {
    by_name_.emplace(image_->endpoints[i].name, i);
  }
  histories_of_.resize(image_->endpoints.size());
  for (std::uint32_t i = 0; i < image_->histories.size(); ++i) {
    histories_of_[image_->histories[i].endpoint].push_back(i);
  }
  const double age = std::max(0.0, clock_.unix_seconds() - image_->head.saved_at);
  log_.info("going on from what was saved {:.0f} s ago: {} endpoints, {} streams of KV events", age,
            image_->endpoints.size(), image_->publishers.size());
  if (image_->head.block_bytes != block_bytes_) {
    log_.warning("the saved history is of prefix.blockBytes {}, not {}; it is not used",
                 image_->head.block_bytes, block_bytes_);
  } else if (age > to_seconds(kHistoryAgeMax)) {
    log_.info("the saved history is too old to be used");
  } else {
    histories_usable_ = true;
  }
}

void Restart::drop_index() {
  if (image_) image_->runs = {};
  bytes_ = {};
}

std::optional<Restart::Known> Restart::take(const std::string& name, const std::string& address) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end() || image_->endpoints[found->second].address != address) {
    return std::nullopt;
  }
  Known known{image_->endpoints[found->second], {}, {}};
  for (const std::uint32_t number : histories_of_[found->second]) {
    codec::RestartHistory& one = image_->histories[number];
    const bool is_prompts = one.kind == codec::RestartHistory::Kind::kPrompts;
    if (histories_usable_) (is_prompts ? known.prompts : known.media) = std::move(one);
    one = {};
  }
  by_name_.erase(found);
  cells_.endpoints.add();
  return known;
}

void Restart::start(const RestartSources& sources) {
  sources_ = sources;
  thread_ = std::thread([this] { run(); });
}

void Restart::save(Job job) {
  if (image_ && clock_.now() - opened_ >= kFoundWithin) {
    by_name_.clear();
    histories_of_.clear();
    image_.reset();
  }
  {
    const std::lock_guard lock(mutex_);
    if (busy_) {
      cells_.skipped.add();
      return;
    }
    busy_ = true;
    job_ = std::move(job);
  }
  wake_.notify_all();
}

void Restart::finish(Job job) {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    job_ = std::move(job);  // One that waits knows less.
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Restart::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || job_; });
    if (!job_) return;
    const Job job = *std::exchange(job_, std::nullopt);
    lock.unlock();
    make(job);
    lock.lock();
    busy_ = job_.has_value();
  }
}

void Restart::make(const Job& job) {
  const Time begun = clock_.now();
  std::uint64_t bytes = 0;
  const Result<Saved> saved = write(job, bytes);
  if (!saved) {
    cells_.failed.add();
    if (std::exchange(last_failure_, saved.error().message) != saved.error().message) {
      log_.error("what the router knows could not be saved: {}", saved.error().message);
    }
    return;
  }
  if (!std::exchange(last_failure_, {}).empty()) {
    log_.info("what the router knows is saved again");
  }
  const double seconds = to_seconds(clock_.now() - begun);
  (*saved == Saved::kWhole ? cells_.whole : cells_.cut).add();
  cells_.bytes.set(static_cast<double>(bytes));
  cells_.seconds.set(seconds);
  cells_.saved_at.set(clock_.unix_seconds());
  log_.debug("saved {} bytes for a restart in {:.3f} s", bytes, seconds);
}

Result<Restart::Saved> Restart::write(const Job& job, std::uint64_t& bytes) {
  if (auto begun = file_->begin(); !begun) return tl::unexpected(begun.error());
  const auto save = std::make_shared<KvSave>(settings_.bytes_max);
  codec::RestartWriter& writer = save->writer();
  codec::RestartHead head;
  head.key_seed = sources_.key_seed;
  head.saved_at = clock_.unix_seconds();
  head.block_bytes = job.block_bytes;
  KvListener* const listener = sources_.listener;
  if (listener != nullptr) {
    listener->save(save);
    const auto domains = save->await_begun();
    if (!domains) {
      save->give_up();
      return fail(ErrorCode::kUnavailable, "the listener to KV events is too busy");
    }
    head.domains = *domains;
    head.tokens_asked = sources_.tokens_asked;
    head.tokens_told = listener->block_tokens();
  }
  writer.add(head);
  writer.add(codec::RestartCalibration{.version = 1, .turn = job.turn});
  for (const codec::RestartEndpoint& endpoint : job.endpoints) writer.add(endpoint);
  Result<Saved> saved = write_histories(job, writer);
  if (!saved) {
    save->give_up();
    return saved;
  }
  if (listener != nullptr) {
    save->hand_over();
    while (const auto part = save->await_bytes()) {
      if (auto put = file_->append(*part); !put) {
        save->give_up();
        return tl::unexpected(put.error());
      }
    }
    if (save->ended() == KvSave::End::kNone) {
      save->give_up();
      return fail(ErrorCode::kUnavailable, "the listener to KV events is too busy");
    }
    if (save->ended() == KvSave::End::kCut) saved = Saved::kCut;
  }
  writer.finish();
  if (auto put = file_->append(writer.take()); !put) return tl::unexpected(put.error());
  if (auto done = file_->commit(); !done) return tl::unexpected(done.error());
  bytes = writer.bytes();
  return saved;
}

// Half of the room at most, so that the index has some.
Result<Restart::Saved> Restart::write_histories(const Job& job, codec::RestartWriter& writer) {
  codec::RestartHistory history;
  for (std::size_t i = 0; i < job.slots.size(); ++i) {
    for (const SharedHistory* from : {sources_.history, sources_.media}) {
      if (writer.bytes() >= settings_.bytes_max / 2) return Saved::kCut;
      from->save(job.slots[i], kHistoryBlocksMax, history);
      if (history.stretches.empty()) continue;
      history.endpoint = static_cast<std::uint32_t>(i);
      history.kind = from == sources_.history ? codec::RestartHistory::Kind::kPrompts
                                              : codec::RestartHistory::Kind::kMedia;
      writer.add(history);
      if (auto put = file_->append(writer.take()); !put) return tl::unexpected(put.error());
    }
  }
  if (auto put = file_->append(writer.take()); !put) return tl::unexpected(put.error());
  return Saved::kWhole;
}

}  // namespace fairlead::router
