#pragma once

/// Optimizers, learning-rate schedulers and gradient clipping.

#include <miniparallel/optim/adam.h>
#include <miniparallel/optim/clip_grad.h>
#include <miniparallel/optim/lr_scheduler.h>
#include <miniparallel/optim/optimizer.h>
#include <miniparallel/optim/sgd.h>
