// The program at the beginning of docs/simulated-gpu.md.
#include "snippets/simulated-gpu/train.inc"
