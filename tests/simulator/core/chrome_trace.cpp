// The Trace Event Format ("JSON Object Format"; Google, 2016).

#include <miniparallel/error.h>

#include "miniparallel/simulator_history.h"

#include <fstream>
#include <iomanip>
#include <locale>
#include <set>
#include <utility>

namespace miniparallel::simulator {
namespace {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return result + '"';
}

const char* name_of(StepKind kind) {
  switch (kind) {
    case StepKind::kernel:
      return "kernel";
    case StepKind::copy:
      return "copy";
    case StepKind::library_call:
      return "library";
    case StepKind::host_function:
      break;
  }
  return "host";
}

}  // namespace

void write_chrome_trace(const std::string& path, const std::vector<Step>& steps) {
  std::ofstream file(path);
  file.imbue(std::locale::classic());
  file << std::fixed << std::setprecision(3);
  file << R"({"displayTimeUnit":"ms","otherData":{"times":"modelled"},"traceEvents":[)";
  const char* separator = "\n";
  const auto write = [&](const std::string& name, const char* phase, int device,
                         int stream) -> std::ofstream& {
    file << std::exchange(separator, ",\n") << "{\"name\":" << quoted(name) << ",\"ph\":\"" << phase
         << "\",\"pid\":" << device << ",\"tid\":" << stream;
    return file;
  };
  std::set<int> devices;
  std::set<std::pair<int, int>> streams;
  for (const Step& step : steps) {
    if (devices.insert(step.device).second)
      write("process_name", "M", step.device, 0)
          << ",\"args\":{\"name\":\"GPU " << step.device << " (modelled)\"}}";
    if (streams.emplace(step.device, step.stream).second)
      write("thread_name", "M", step.device, step.stream)
          << ",\"args\":{\"name\":\"stream " << step.stream << "\"}}";
    write(step.name, "X", step.device, step.stream)
        << ",\"cat\":\"" << name_of(step.kind) << "\",\"ts\":" << step.start * 1e6
        << ",\"dur\":" << (step.end - step.start) * 1e6 << '}';
  }
  file << "\n]}\n";
  file.close();
  if (!file)
    throw Error("write_chrome_trace: '" + path + "' cannot be written; check the folder and its space");
}

}  // namespace miniparallel::simulator
