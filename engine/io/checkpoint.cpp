#include <miniparallel/checkpoint.h>

#include <miniparallel/io.h>
#include <miniparallel/random.h>

#include "engine/error.h"
#include "engine/io/safetensors_file.h"

#include <charconv>
#include <set>

namespace miniparallel {
namespace {

constexpr const char* kFormat = "miniparallel checkpoint";
constexpr int kVersion = 1;
constexpr std::string_view kPartNote = "part.";  // in front of a part's name; the note holds its kind

/// The state of the random numbers, as a part of every checkpoint.
struct RandomPart {
  static const char* name() { return "random numbers"; }
  StateDict state_dict() const {
    const RandomState state = random_state();
    return {{"seed", scalar_tensor(static_cast<std::int64_t>(state.seed))},  // their bits
            {"ordinal", scalar_tensor(static_cast<std::int64_t>(state.ordinal))}};
  }
  PreparedLoad prepare_load(const StateDict& state) const {
    const auto number = [&](const char* key) {
      const auto found = state.find(key);
      check(state.size() == 2 && found != state.end() && found->second.dtype() == int64 &&
                found->second.dim() == 0,
            "the state of the random numbers is damaged; expected the whole numbers seed and ordinal");
      return static_cast<std::uint64_t>(found->second.item<std::int64_t>());
    };
    return [state = RandomState{.seed = number("seed"), .ordinal = number("ordinal")}] {
      set_random_state(state);
    };
  }
};
constexpr RandomPart random_part{};

std::vector<CheckpointPart> with_random(const Checkpoint& checkpoint) {
  std::vector<CheckpointPart> parts = checkpoint.parts();
  parts.emplace_back("random", random_part);
  return parts;
}

/// The name of a part's tensor in the file; a number's is that of the part.
std::string join(const std::string& part, const std::string& name) {
  return name.empty() ? part : part + '.' + name;
}

/// Throws unless the notes are those of a checkpoint that this version can read.
void check_format(const std::string& file, const Metadata& notes) {
  const auto format = notes.find("format");
  if (format == notes.end() || format->second != kFormat)
    fail(file, ": a safetensors file, but not a checkpoint; read it with load()");
  const auto found = notes.find("version");
  const std::string text = found == notes.end() ? "" : found->second;
  int version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error == std::errc::invalid_argument || end != text.data() + text.size() ||
      (error == std::errc() && version < 1))
    fail(file, ": damaged: its version is '", text, "'; expected a number");
  if (error != std::errc() || version > kVersion)
    fail(file, ": a checkpoint of version ", text, ", this program reads versions up to ", kVersion,
         "; read it with a newer miniparallel");
}

/// The parts of a file: the kind of each, and its tensors.
struct FilePart {
  std::string kind;
  StateDict state;
};
using FileParts = std::map<std::string, FilePart, std::less<>>;

FileParts read_parts(const std::string& path) {
  const io::SafetensorsFile file(path);
  const Metadata& notes = file.header().metadata;
  check_format(path, notes);
  FileParts parts;
  for (const auto& [name, text] : notes) {
    if (name.starts_with(kPartNote)) parts[name.substr(kPartNote.size())].kind = text;
  }
  for (const io::SafetensorsEntry& entry : file.header().entries) {
    const auto dot = entry.name.find('.');
    const auto part = parts.find(entry.name.substr(0, dot));
    if (part == parts.end())
      fail(path, ": damaged: the tensor '", entry.name,
           "' belongs to no part; expected a part's name before the first dot");
    const std::string name = dot == std::string::npos ? "" : entry.name.substr(dot + 1);
    part->second.state[name] = file.read(entry);
  }
  return parts;
}

/// Compares the parts of the file with those to be loaded; parts that only one side has go to `report`.
void check_parts(const std::string& file, const FileParts& found, const std::vector<CheckpointPart>& wanted,
                 bool strict, LoadReport& report) {
  std::string faults, missing, unexpected;
  std::set<std::string_view> names;
  for (const CheckpointPart& part : wanted) {
    names.insert(part.name());
    const auto match = found.find(part.name());
    if (match == found.end()) {
      report.missing.push_back(part.name());
      missing += "\n  missing in the file: " + part.name();
    } else if (match->second.kind != part.kind()) {
      faults += "\n  " + part.name() + ": " + match->second.kind + " in the file, " + part.kind() + " here";
    }
  }
  for (const auto& [name, part] : found) {
    if (names.contains(name)) continue;
    report.unexpected.push_back(name);
    unexpected += "\n  in the file only: " + name;
  }
  if (strict) faults = missing + unexpected + faults;
  if (faults.empty()) return;
  fail(file, ": the parts of the checkpoint are not those to be loaded; nothing was loaded:", faults,
       strict && !(missing + unexpected).empty() ? "\nPass {.strict = false} to load what is in both." : "");
}

}  // namespace

Checkpoint::Checkpoint(std::vector<CheckpointPart> parts) : parts_(std::move(parts)) {
  std::set<std::string_view> names{"random"};
  for (const CheckpointPart& part : parts_) {
    check(!part.name().empty() && part.name().find('.') == std::string::npos, "Checkpoint: a part is named '",
          part.name(), "'; a name must not be empty or have a '.'");
    check(names.insert(part.name()).second, "Checkpoint: the name '", part.name(),
          "' is taken; give each part a name of its own ('random' is that of the random numbers)");
  }
}

void save_checkpoint(const std::string& file, const Checkpoint& checkpoint) {
  StateDict tensors;
  Metadata notes{{"format", kFormat}, {"version", std::to_string(kVersion)}};
  for (const CheckpointPart& part : with_random(checkpoint)) {
    notes[std::string(kPartNote) + part.name()] = part.kind();
    for (auto& [name, tensor] : part.state_dict()) tensors[join(part.name(), name)] = tensor;
  }
  save(tensors, file, notes);
}

LoadReport load_checkpoint(const std::string& file, const Checkpoint& checkpoint,
                           const LoadOptions& options) {
  const std::vector<CheckpointPart> parts = with_random(checkpoint);
  const FileParts found = read_parts(file);
  LoadReport report;
  check_parts(file, found, parts, options.strict, report);

  std::vector<PreparedLoad> prepared;
  for (const CheckpointPart& part : parts) {
    const auto source = found.find(part.name());
    if (source == found.end()) continue;
    LoadReport names;
    try {
      prepared.push_back(part.prepare_load(source->second.state, options, names));
    } catch (const OutOfMemoryError&) {
      throw;
    } catch (const Error& error) {
      fail(file, ", part '", part.name(), "': ", error.what());
    }
    for (const std::string& name : names.missing) report.missing.push_back(join(part.name(), name));
    for (const std::string& name : names.unexpected) report.unexpected.push_back(join(part.name(), name));
  }
  for (const PreparedLoad& put_in_place : prepared) put_in_place();
  return report;
}

}  // namespace miniparallel
