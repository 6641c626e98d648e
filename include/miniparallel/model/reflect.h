#pragma once

/// Reflection of models: plain structs whose members are found without a base class, registration or macro.
/// `visit` walks through a model, `copy` copies one, MINIPARALLEL_MEMBERS lists members by hand.

#include <miniparallel/model/visit.h>
