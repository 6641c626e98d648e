#include "engine/error.h"

#include <cstdio>

namespace miniparallel::detail {

void append(std::string& text, double part) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%g", part);
  text += buffer;
}

}  // namespace miniparallel::detail
