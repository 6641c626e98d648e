#pragma once

// First in every header that others build on, so that it is the first error.
#if __cplusplus < 202002L
#error "miniparallel: needs C++20; compile with -std=c++20"
#endif
