#include "snippets/simulated-gpu/scale.inc"
