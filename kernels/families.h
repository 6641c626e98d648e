#pragma once

#include "kernels/attention.h"
#include "kernels/bag.h"
#include "kernels/collective.h"
#include "kernels/conv2d.h"
#include "kernels/cross_entropy.h"
#include "kernels/ctc.h"
#include "kernels/elementwise.h"
#include "kernels/indexing.h"
#include "kernels/loss_scale.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/optimizer.h"
#include "kernels/pointwise_loss.h"
#include "kernels/pool2d.h"
#include "kernels/random.h"
#include "kernels/recurrent.h"
#include "kernels/reduce.h"
#include "kernels/scan.h"
#include "kernels/softmax.h"
#include "kernels/sort.h"

/// The families of kernels: struct of launchers, name. The tables of every backend and of the profiler are
/// made from this list.
#define MP_FAMILIES(X)             \
  X(Attention, attention)          \
  X(Bag, bag)                      \
  X(Collective, collective)        \
  X(Conv2d, conv2d)                \
  X(CrossEntropy, cross_entropy)   \
  X(Ctc, ctc)                      \
  X(Elementwise, elementwise)      \
  X(Indexing, indexing)            \
  X(LossScale, loss_scale)         \
  X(Matmul, matmul)                \
  X(Norm, norm)                    \
  X(Optimizer, optimizer)          \
  X(PointwiseLoss, pointwise_loss) \
  X(Pool2d, pool2d)                \
  X(Random, random)                \
  X(Recurrent, recurrent)          \
  X(Reduce, reduce)                \
  X(Scan, scan)                    \
  X(Softmax, softmax)              \
  X(Sort, sort)
