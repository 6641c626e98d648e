#include "cublaslt_descriptors.h"

#include <cstddef>
#include <cstring>
#include <new>
#include <span>

using namespace miniparallel::simulator;

namespace {

/// Where an attribute lies in its descriptor.
struct Attribute {
  int id;
  std::size_t offset, size;
};

#define FIELD(id, Struct, member) {id, offsetof(Struct, member), sizeof(Struct::member)}

constexpr Attribute layout_attributes[] = {
    FIELD(CUBLASLT_MATRIX_LAYOUT_TYPE, MatrixLayout, type),
    FIELD(CUBLASLT_MATRIX_LAYOUT_ORDER, MatrixLayout, order),
    FIELD(CUBLASLT_MATRIX_LAYOUT_ROWS, MatrixLayout, rows),
    FIELD(CUBLASLT_MATRIX_LAYOUT_COLS, MatrixLayout, cols),
    FIELD(CUBLASLT_MATRIX_LAYOUT_LD, MatrixLayout, ld),
    FIELD(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, MatrixLayout, batch_count),
    FIELD(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, MatrixLayout, batch_stride),
    FIELD(CUBLASLT_MATRIX_LAYOUT_BATCH_MODE, MatrixLayout, batch_mode),
};

constexpr Attribute matmul_attributes[] = {
    FIELD(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, MatmulDescription, compute_type),
    FIELD(CUBLASLT_MATMUL_DESC_SCALE_TYPE, MatmulDescription, scale_type),
    FIELD(CUBLASLT_MATMUL_DESC_POINTER_MODE, MatmulDescription, pointer_mode),
    FIELD(CUBLASLT_MATMUL_DESC_TRANSA, MatmulDescription, transa),
    FIELD(CUBLASLT_MATMUL_DESC_TRANSB, MatmulDescription, transb),
    FIELD(CUBLASLT_MATMUL_DESC_TRANSC, MatmulDescription, transc),
    FIELD(CUBLASLT_MATMUL_DESC_FILL_MODE, MatmulDescription, fill_mode),
    FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE, MatmulDescription, epilogue),
    FIELD(CUBLASLT_MATMUL_DESC_BIAS_POINTER, MatmulDescription, bias),
    FIELD(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, MatmulDescription, bias_batch_stride),
    FIELD(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, MatmulDescription, bias_type),
    FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, MatmulDescription, aux),
    FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, MatmulDescription, aux_ld),
    FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, MatmulDescription, aux_batch_stride),
    FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, MatmulDescription, aux_type),
    FIELD(CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, MatmulDescription, multiprocessors),
    FIELD(CUBLASLT_MATMUL_DESC_FAST_ACCUM, MatmulDescription, fast_accumulation),
};

constexpr Attribute preference_attributes[] = {
    FIELD(CUBLASLT_MATMUL_PREF_SEARCH_MODE, MatmulPreference, search_mode),
    FIELD(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, MatmulPreference, workspace_bytes),
    FIELD(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, MatmulPreference, reduction_scheme_mask),
    FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, MatmulPreference, alignment_a),
    FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, MatmulPreference, alignment_b),
    FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, MatmulPreference, alignment_c),
    FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, MatmulPreference, alignment_d),
    FIELD(CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT, MatmulPreference, waves),
    FIELD(CUBLASLT_MATMUL_PREF_IMPL_MASK, MatmulPreference, implementation_mask),
};

#undef FIELD

std::span<const Attribute> attributes_of(cublasLtMatrixLayout_t) { return layout_attributes; }
std::span<const Attribute> attributes_of(cublasLtMatmulDesc_t) { return matmul_attributes; }
std::span<const Attribute> attributes_of(cublasLtMatmulPreference_t) { return preference_attributes; }

/// The attribute, or NULL if the descriptor is NULL or has none of this id.
template <class Descriptor>
const Attribute* find(Descriptor descriptor, int id) {
  if (descriptor == nullptr) return nullptr;
  for (const Attribute& attribute : attributes_of(descriptor)) {
    if (attribute.id == id) return &attribute;
  }
  return nullptr;
}

/// Values are taken as they are: what they mean together is judged by the matmul.
template <class Descriptor>
cublasStatus_t set(Descriptor descriptor, int id, const void* value, std::size_t size) {
  const Attribute* attribute = find(descriptor, id);
  if (attribute == nullptr || value == nullptr || size != attribute->size) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(reinterpret_cast<char*>(descriptor->data) + attribute->offset, value, size);
  return CUBLAS_STATUS_SUCCESS;
}

/// With size 0 only the size that is needed.
template <class Descriptor>
cublasStatus_t get(Descriptor descriptor, int id, void* value, std::size_t size, std::size_t* written) {
  const Attribute* attribute = find(descriptor, id);
  if (attribute == nullptr || (size == 0 && written == nullptr)) return CUBLAS_STATUS_INVALID_VALUE;
  if (size != 0) {
    if (value == nullptr || size != attribute->size) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(value, reinterpret_cast<const char*>(descriptor->data) + attribute->offset, size);
  }
  if (written != nullptr) *written = attribute->size;
  return CUBLAS_STATUS_SUCCESS;
}

template <class Opaque, class Contents>
cublasStatus_t initialize(Opaque* descriptor, std::size_t size, const Contents& contents) {
  static_assert(sizeof(Contents) <= sizeof(Opaque::data));
  if (descriptor == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (size < sizeof(Opaque)) return CUBLAS_STATUS_ALLOC_FAILED;
  new (descriptor->data) Contents(contents);
  return CUBLAS_STATUS_SUCCESS;
}

template <class Opaque, class Contents>
cublasStatus_t create(Opaque** descriptor, const Contents& contents) {
  if (descriptor == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *descriptor = new Opaque{};
  return initialize(*descriptor, sizeof(Opaque), contents);
}

template <class Opaque>
cublasStatus_t destroy(Opaque* descriptor) {
  delete descriptor;
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

extern "C" {

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t ld) {
  return create(layout,
                MatrixLayout{.type = static_cast<std::uint32_t>(type), .rows = rows, .cols = cols, .ld = ld});
}

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, size_t size,
                                                 cudaDataType type, uint64_t rows, uint64_t cols,
                                                 int64_t ld) {
  return initialize(
      layout, size,
      MatrixLayout{.type = static_cast<std::uint32_t>(type), .rows = rows, .cols = cols, .ld = ld});
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) { return destroy(layout); }

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t id, const void* value,
                                                size_t size) {
  return set(layout, id, value, size);
}

cublasStatus_t cublasLtMatrixLayoutGetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t id, void* value, size_t size,
                                                size_t* written) {
  return get(layout, id, value, size, written);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute_type,
                                        cudaDataType_t scale_type) {
  return create(desc, MatmulDescription{.compute_type = compute_type, .scale_type = scale_type});
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t desc, size_t size,
                                               cublasComputeType_t compute_type, cudaDataType_t scale_type) {
  return initialize(desc, size, MatmulDescription{.compute_type = compute_type, .scale_type = scale_type});
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) { return destroy(desc); }

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t id,
                                              const void* value, size_t size) {
  return set(desc, id, value, size);
}

cublasStatus_t cublasLtMatmulDescGetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t id,
                                              void* value, size_t size, size_t* written) {
  return get(desc, id, value, size, written);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return create(preference, MatmulPreference{});
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference, size_t size) {
  return initialize(preference, size, MatmulPreference{});
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return destroy(preference);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t id,
                                                    const void* value, size_t size) {
  return set(preference, id, value, size);
}

cublasStatus_t cublasLtMatmulPreferenceGetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t id, void* value,
                                                    size_t size, size_t* written) {
  return get(preference, id, value, size, written);
}

}  // extern "C"
