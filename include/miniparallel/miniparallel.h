#pragma once

/// Everything that a program needs.

#include <miniparallel/autocast.h>
#include <miniparallel/autograd.h>
#include <miniparallel/capture.h>
#include <miniparallel/checkpoint.h>
#include <miniparallel/cuda.h>
#include <miniparallel/data.h>
#include <miniparallel/device.h>
#include <miniparallel/dlpack.h>
#include <miniparallel/dtype.h>
#include <miniparallel/error.h>
#include <miniparallel/grad_mode.h>
#include <miniparallel/image.h>
#include <miniparallel/io.h>
#include <miniparallel/linalg.h>
#include <miniparallel/log.h>
#include <miniparallel/memory.h>
#include <miniparallel/metrics.h>
#include <miniparallel/model.h>
#include <miniparallel/nested.h>
#include <miniparallel/nn.h>
#include <miniparallel/npy.h>
#include <miniparallel/onnx.h>
#include <miniparallel/ops.h>
#include <miniparallel/optim.h>
#include <miniparallel/parallel.h>
#include <miniparallel/profiler.h>
#include <miniparallel/random.h>
#include <miniparallel/recompute.h>
#include <miniparallel/shape.h>
#include <miniparallel/state_dict.h>
#include <miniparallel/tensor.h>
#include <miniparallel/tensorboard.h>
#include <miniparallel/threads.h>
#include <miniparallel/version.h>
