#include "snippets/README/program.inc"
