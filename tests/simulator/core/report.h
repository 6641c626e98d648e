#pragma once
// Findings: printed at once, kept until somebody takes them, fatal at exit if nobody did.

#include "miniparallel/simulator.h"

#include <string>

namespace miniparallel::simulator {

void report(Finding finding, std::string text);
const char* name_of(Finding finding);
/// Ends the process with status 66 if findings are left.
void exit_if_findings();

}  // namespace miniparallel::simulator
