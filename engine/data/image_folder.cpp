#include <miniparallel/data/image_folder.h>

#include <miniparallel/ops.h>

#include "engine/error.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

namespace miniparallel::data {
namespace {

namespace fs = std::filesystem;

bool is_image(const fs::directory_entry& entry) {
  std::string ending = entry.path().extension().string();
  std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return entry.is_regular_file() && (ending == ".png" || ending == ".jpg" || ending == ".jpeg");
}

std::vector<std::string> sorted(std::vector<std::string> names) {
  std::ranges::sort(names);
  return names;
}

std::vector<std::string> folders_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  }
  return sorted(std::move(names));
}

std::vector<std::string> images_below(const fs::path& folder) {
  std::vector<std::string> paths;
  const auto options = fs::directory_options::follow_directory_symlink;
  for (const auto& entry : fs::recursive_directory_iterator(folder, options)) {
    if (is_image(entry)) paths.push_back(entry.path().string());
  }
  return sorted(std::move(paths));
}

}  // namespace

ImageFolder::ImageFolder(const std::string& folder, ImageReadMode mode) : mode_(mode) {
  try {
    check(fs::is_directory(folder), "ImageFolder: there is no folder '", folder, "'; name an existing one");
    classes_ = folders_in(folder);
    check(!classes_.empty(), "ImageFolder: '", folder, "' has no folders; it needs one for each class");
    for (std::int64_t label = 0; label < std::ssize(classes_); ++label) {
      const fs::path part = fs::path(folder) / classes_[static_cast<std::size_t>(label)];
      const std::vector<std::string> paths = images_below(part);
      check(!paths.empty(), "ImageFolder: '", part.string(),
            "' holds no PNG or JPEG file; add some, or remove the folder");
      for (const std::string& path : paths) samples_.push_back({path, label});
    }
  } catch (const fs::filesystem_error& error) {
    fail("ImageFolder: ", error.what(), "; give the right to read it, or remove it");
  }
}

ImageFolder::Example ImageFolder::get(std::int64_t index) const {
  check(index >= 0 && index < size(), "ImageFolder: index ", index, " of ", size(),
        " images; it must be at least 0 and below ", size());
  const Sample& sample = samples_[static_cast<std::size_t>(index)];
  return {read_image(sample.path, mode_).to(float32) / 255, tensor(sample.label)};
}

}  // namespace miniparallel::data
