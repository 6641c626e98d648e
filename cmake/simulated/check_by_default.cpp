// Part of the programs that link to miniparallel::simulated_checked.
#include <miniparallel/simulator/check_by_default.h>
