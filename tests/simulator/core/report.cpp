#include "core/report.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <utility>

namespace miniparallel::simulator {
namespace {

void print(const Report& found) {
  std::fprintf(stderr, "simulated GPU: %s: %s\n", name_of(found.finding), found.text.c_str());
}

struct Inbox {
  std::mutex mutex;
  std::vector<Report> reports;
  ReportHandler handler = print;

  static Inbox& get() {
    static Inbox& inbox = *new Inbox;  // outlives every static object of the program
    return inbox;
  }
};

}  // namespace

void exit_if_findings() {
  Inbox& inbox = Inbox::get();
  if (inbox.reports.empty()) return;
  std::fprintf(stderr, "simulated GPU: %zu finding(s) at the end of the program, the first: %s\n",
               inbox.reports.size(), inbox.reports.front().text.c_str());
  std::fflush(nullptr);
  _exit(66);
}

const char* name_of(Finding finding) {
  static const char* const names[] = {"out of bounds",
                                      "use after free",
                                      "read of unwritten memory",
                                      "no peer access",
                                      "host memory in a kernel",
                                      "host access",
                                      "race",
                                      "barrier",
                                      "absent lane",
                                      "race between streams",
                                      "freed in use",
                                      "wrong stream",
                                      "unchecked error",
                                      "invalid free",
                                      "hang",
                                      "instrumentation",
                                      "shared memory",
                                      "trap",
                                      "library"};
  return names[static_cast<int>(finding)];
}

void report(Finding finding, std::string text) {
  Inbox& inbox = Inbox::get();
  Report found{finding, std::move(text)};
  ReportHandler handler;
  {
    const std::lock_guard lock(inbox.mutex);
    inbox.reports.push_back(found);
    handler = inbox.handler;
  }
  if (handler) handler(found);
}

std::vector<Report> take_reports() {
  Inbox& inbox = Inbox::get();
  const std::lock_guard lock(inbox.mutex);
  return std::exchange(inbox.reports, {});
}

ReportHandler set_report_handler(ReportHandler handler) {
  Inbox& inbox = Inbox::get();
  const std::lock_guard lock(inbox.mutex);
  return std::exchange(inbox.handler, std::move(handler));
}

}  // namespace miniparallel::simulator
