#pragma once

/// Optimizers, learning-rate schedulers, averages of weights and gradient clipping.

#include <miniparallel/optim/adadelta.h>
#include <miniparallel/optim/adagrad.h>
#include <miniparallel/optim/adam.h>
#include <miniparallel/optim/adamax.h>
#include <miniparallel/optim/averaged_model.h>
#include <miniparallel/optim/clip_grad.h>
#include <miniparallel/optim/grad_scaler.h>
#include <miniparallel/optim/lbfgs.h>
#include <miniparallel/optim/lion.h>
#include <miniparallel/optim/lr_plateau.h>
#include <miniparallel/optim/lr_rules.h>
#include <miniparallel/optim/lr_scheduler.h>
#include <miniparallel/optim/muon.h>
#include <miniparallel/optim/nadam.h>
#include <miniparallel/optim/optimizer.h>
#include <miniparallel/optim/radam.h>
#include <miniparallel/optim/rmsprop.h>
#include <miniparallel/optim/rprop.h>
#include <miniparallel/optim/sgd.h>
