#pragma once

#include <miniparallel/dlpack.h>
#include <miniparallel/miniparallel.h>

#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// A model as a class of a Python module, and the tensors that go in and come out. Tensors share their
/// elements with NumPy, PyTorch, JAX or CuPy by DLPack. Needs nanobind (https://nanobind.readthedocs.io).
namespace miniparallel::python {

namespace nb = nanobind;

/// DLPack's struct from before version 1.0, which some libraries still hand over.
struct UnversionedTensor {
  dlpack::Tensor tensor;
  void* manager_ctx;
  void (*deleter)(UnversionedTensor* self);
};

// Names of capsules by the Python specification of DLPack; one that was taken is renamed.
inline constexpr const char *kVersioned = "dltensor_versioned", *kUnversioned = "dltensor";

/// What `destroy(p)` deletes unless another library takes it out of the capsule.
template <class Managed>
nb::object make_capsule(Managed* managed, const char* name) {
  PyObject* const capsule = PyCapsule_New(managed, name, [](PyObject* self) {
    const char* const now = PyCapsule_GetName(self);
    if (std::string_view(now) != kVersioned && std::string_view(now) != kUnversioned) return;
    auto* const left = static_cast<Managed*>(PyCapsule_GetPointer(self, now));
    left->deleter(left);
  });
  if (capsule == nullptr) {
    managed->deleter(managed);
    throw nb::python_error();
  }
  return nb::steal(capsule);
}

inline nb::object unversioned_capsule(dlpack::ManagedTensor* managed) {
  auto* const old = new UnversionedTensor{managed->tensor, managed, [](UnversionedTensor* self) {
                                            auto* const of =
                                                static_cast<dlpack::ManagedTensor*>(self->manager_ctx);
                                            of->deleter(of);
                                            delete self;
                                          }};
  return make_capsule(old, kUnversioned);
}

/// An unversioned description as one of version 1.
inline dlpack::ManagedTensor* versioned(UnversionedTensor* old) {
  return new dlpack::ManagedTensor{.version = {1, 0},
                                   .manager_ctx = old,
                                   .deleter =
                                       [](dlpack::ManagedTensor* self) {
                                         auto* const of = static_cast<UnversionedTensor*>(self->manager_ctx);
                                         if (of->deleter != nullptr) of->deleter(of);
                                         delete self;
                                       },
                                   .flags = 0,
                                   .tensor = old->tensor};
}

/// Takes the tensor out of a capsule. A capsule whose tensor is refused keeps it.
inline Tensor take(nb::handle capsule) {
  if (PyCapsule_IsValid(capsule.ptr(), kVersioned) != 0) {
    const Tensor taken =
        from_dlpack(static_cast<dlpack::ManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), kVersioned)));
    PyCapsule_SetName(capsule.ptr(), "used_dltensor_versioned");
    return taken;
  }
  if (PyCapsule_IsValid(capsule.ptr(), kUnversioned) == 0)
    throw nb::type_error("from_dlpack: __dlpack__ gave no capsule with a tensor that nobody has taken");
  std::unique_ptr<dlpack::ManagedTensor> managed(
      versioned(static_cast<UnversionedTensor*>(PyCapsule_GetPointer(capsule.ptr(), kUnversioned))));
  const Tensor taken = from_dlpack(managed.get());
  static_cast<void>(managed.release());
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");
  return taken;
}

/// A miniparallel tensor as it is, any other with `__dlpack__` by sharing its elements. Throws TypeError.
inline Tensor tensor_of(nb::handle object) {
  Tensor tensor;
  if (nb::try_cast(object, tensor)) return tensor;
  if (!nb::hasattr(object, "__dlpack__"))
    throw nb::type_error(
        ("expected a tensor, or an array with __dlpack__ such as NumPy's or PyTorch's, got " +
         std::string(nb::type_name(object.type()).c_str()))
            .c_str());
  const nb::object ask = object.attr("__dlpack__");
  try {
    return take(ask(nb::arg("max_version") = nb::make_tuple(1, 0)));
  } catch (nb::python_error& error) {
    if (!error.matches(PyExc_TypeError)) throw;  // it has not heard of versions
  }
  return take(ask());
}

inline nb::object dlpack_of(const Tensor& tensor, nb::handle stream, std::optional<nb::tuple> max_version,
                            std::optional<std::pair<int, int>> device, std::optional<bool> copy) {
  static_cast<void>(stream);  // to_dlpack has waited for the device
  const bool is_cuda = tensor.device().is_cuda();
  const std::pair<int, int> own{is_cuda ? 2 : 1, is_cuda ? tensor.device().index : 0};
  if (device && *device != own) throw nb::buffer_error("__dlpack__: use to(device) for another device");
  dlpack::ManagedTensor* const managed = to_dlpack(copy.value_or(false) ? tensor.clone() : tensor);
  if (max_version && nb::cast<int>((*max_version)[0]) >= 1) return make_capsule(managed, kVersioned);
  return unversioned_capsule(managed);
}

inline Tensor converted(const Tensor& tensor, const std::string& to) {
  for (const DType dtype : {float32, float64, int64, int32, uint8, boolean, float16, bfloat16})
    if (to == name(dtype)) return tensor.to(dtype);
  return tensor.to(Device(to));
}

/// Adds `Tensor`, `from_dlpack`, `manual_seed` and `Error` to a module.
inline void bind_tensors(nb::module_& module) {
  nb::exception<Error>(module, "Error", PyExc_RuntimeError);
  nb::class_<Tensor>(module, "Tensor", "A tensor of miniparallel; numpy.from_dlpack shares its elements.")
      .def_prop_ro("shape",
                   [](const Tensor& self) {
                     const Shape& shape = self.shape();
                     return nb::tuple(nb::cast(std::vector<std::int64_t>(shape.begin(), shape.end())));
                   })
      .def_prop_ro("dtype", [](const Tensor& self) { return std::string(name(self.dtype())); })
      .def_prop_ro("device", [](const Tensor& self) { return to_string(self.device()); })
      .def_prop_rw("requires_grad", &Tensor::requires_grad,
                   [](Tensor& self, bool on) { self.requires_grad_(on); })
      .def_prop_ro("grad",
                   [](const Tensor& self) -> std::optional<Tensor> {
                     return self.grad().defined() ? std::optional(self.grad()) : std::nullopt;
                   })
      .def(
          "backward", [](const Tensor& self) { self.backward(); }, nb::call_guard<nb::gil_scoped_release>())
      .def("detach", &Tensor::detach)
      .def("to", converted, nb::arg("dtype_or_device"), "to('float64'), to('cuda:1'), to('cpu').")
      .def("item", [](const Tensor& self) { return self.item<double>(); })
      .def("numpy",
           [](nb::object self) {
             const Tensor here = nb::cast<const Tensor&>(self).detach().cpu();
             return nb::module_::import_("numpy").attr("from_dlpack")(here);
           })
      .def("__dlpack__", dlpack_of, nb::kw_only(), nb::arg("stream") = nb::none(),
           nb::arg("max_version") = nb::none(), nb::arg("dl_device") = nb::none(),
           nb::arg("copy") = nb::none())
      .def("__dlpack_device__",
           [](const Tensor& self) {
             const bool is_cuda = self.device().is_cuda();
             return nb::make_tuple(is_cuda ? 2 : 1, is_cuda ? self.device().index : 0);
           })
      .def("__repr__", [](const Tensor& self) {
        std::ostringstream text;
        text << self;
        return text.str();
      });
  module.def("from_dlpack", &tensor_of, nb::arg("array"),
             "A tensor that shares the elements of an array of NumPy, PyTorch, JAX, CuPy, ...");
  module.def("manual_seed", [](std::uint64_t seed) { manual_seed(seed); });
}

/// Adds a model, a struct of layers, as a class: `Model()` where it has a default constructor, calls with a
/// tensor or array where it takes one, parameters, state, files. Calls let other Python threads run. More is
/// added to what is returned, as to every class of nanobind.
template <class Model>
nb::class_<Model> bind_model(nb::module_& module, const char* name) {
  nb::class_<Model> bound(module, name);
  if constexpr (std::default_initializable<Model>) bound.def(nb::init<>());
  if constexpr (requires(Model& model, const Tensor& x) {
                  { model(x) } -> std::convertible_to<Tensor>;
                })
    bound.def("__call__", [](Model& self, nb::handle input) {
      const Tensor x = tensor_of(input);
      const nb::gil_scoped_release released;
      return Tensor(self(x));
    });
  bound.def("parameters", [](Model& self) { return parameters(self); })
      .def("named_parameters",
           [](Model& self) {
             const NamedTensors named = named_parameters(self);
             return std::map<std::string, Tensor>(named.begin(), named.end());
           })
      .def(
          "state_dict", [](Model& self) { return state_dict(self); },
          "Parameters and buffers by name; they share memory with the model.")
      .def(
          "load_state_dict",
          [](Model& self, nb::dict arrays, bool strict) {
            StateDict state;
            for (const auto [path, array] : arrays) state[nb::cast<std::string>(path)] = tensor_of(array);
            const LoadReport report = load_state_dict(self, state, {.strict = strict});
            return std::pair(report.missing, report.unexpected);
          },
          nb::arg("state"), nb::arg("strict") = true, "Gives the missing and the unexpected names.")
      .def(
          "save", [](Model& self, const std::string& path) { save(self, path); }, nb::arg("path"),
          "Writes a safetensors file.")
      .def(
          "load", [](Model& self, const std::string& path) { load(self, path); }, nb::arg("path"))
      .def("train", [](Model& self) { train(self); })
      .def("eval", [](Model& self) { eval(self); })
      .def(
          "to", [](Model& self, const std::string& device) { to(self, Device(device)); }, nb::arg("device"))
      .def("zero_grad", [](Model& self) { zero_grad(self); });
  return bound;
}

}  // namespace miniparallel::python
