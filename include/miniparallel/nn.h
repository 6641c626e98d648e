#pragma once

/// Layers, losses and initial values.

#include <miniparallel/nn/activation.h>
#include <miniparallel/nn/attention.h>
#include <miniparallel/nn/conv.h>
#include <miniparallel/nn/dropout.h>
#include <miniparallel/nn/embedding.h>
#include <miniparallel/nn/init.h>
#include <miniparallel/nn/linear.h>
#include <miniparallel/nn/loss.h>
#include <miniparallel/nn/norm.h>
#include <miniparallel/nn/parameter.h>
#include <miniparallel/nn/pool.h>
#include <miniparallel/nn/recurrent.h>
#include <miniparallel/nn/sequential.h>
#include <miniparallel/nn/transformer.h>
