#pragma once

/// Reading data: datasets, batches made ahead by worker threads, files.

#include <miniparallel/data/cifar10.h>
#include <miniparallel/data/collate.h>
#include <miniparallel/data/csv.h>
#include <miniparallel/data/data_loader.h>
#include <miniparallel/data/dataset.h>
#include <miniparallel/data/example_random.h>
#include <miniparallel/data/image_folder.h>
#include <miniparallel/data/images.h>
#include <miniparallel/data/mnist.h>
#include <miniparallel/data/sampler.h>
#include <miniparallel/data/transforms.h>
#include <miniparallel/data/workers.h>
