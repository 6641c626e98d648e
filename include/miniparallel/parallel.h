#pragma once

/// Models on several GPUs: `CudaMultiGPU` and `DataParallel`, and the verbs that they are made of.

#include <miniparallel/parallel/apply.h>
#include <miniparallel/parallel/chunks.h>
#include <miniparallel/parallel/criterion.h>
#include <miniparallel/parallel/cuda_multi_gpu.h>
#include <miniparallel/parallel/data_parallel.h>
#include <miniparallel/parallel/device_list.h>
#include <miniparallel/parallel/find_batch_size.h>
#include <miniparallel/parallel/gather.h>
#include <miniparallel/parallel/hints.h>
#include <miniparallel/parallel/no_sync.h>
#include <miniparallel/parallel/options.h>
#include <miniparallel/parallel/reduce.h>
#include <miniparallel/parallel/replicate.h>
#include <miniparallel/parallel/replicated.h>
#include <miniparallel/parallel/scatter.h>
#include <miniparallel/parallel/speed_meter.h>
