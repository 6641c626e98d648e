// case STANDARD: miniparallel: needs C++20
// standard: 17
#include <miniparallel/miniparallel.h>
