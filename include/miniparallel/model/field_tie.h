#pragma once

#include <miniparallel/model/field_count.h>

namespace miniparallel::reflect {

namespace detail {

/// What `with_members_of_aggregate` gives for a struct with a bit-field, to which no reference can be bound.
struct BitFieldFound {};
void take_references(auto&...);

/// Whether references to the members can be had. Clang before 16 and nvcc cannot ask; there the compiler's
/// own error speaks of the bit-field.
#if defined(__CUDACC__) || (defined(__clang__) && __clang_major__ < 16)
#define MINIPARALLEL_TAKES_REFERENCES(...) true
#else
#define MINIPARALLEL_TAKES_REFERENCES(...) requires { detail::take_references(__VA_ARGS__); }
#endif

}  // namespace detail

/// Calls `visitor(member...)` with references to all members of an aggregate, in order of declaration. C++20
/// has no structured binding of unknown size, hence a row per size.
template <class T, class Visitor>
constexpr decltype(auto) with_members_of_aggregate(T& object, Visitor&& visitor) {
  constexpr int count = initialiser_count<std::remove_const_t<T>>;
  static_assert(count >= 0 && count <= 64);
  // clang-format off
#define MINIPARALLEL_ROW(size, ...) \
  if constexpr (count == size) { \
    auto& [__VA_ARGS__] = object; \
    if constexpr (MINIPARALLEL_TAKES_REFERENCES(__VA_ARGS__)) \
      return visitor(__VA_ARGS__); \
    else \
      return detail::BitFieldFound(); \
  } else
MINIPARALLEL_ROW(1, m0)
MINIPARALLEL_ROW(2, m0, m1)
MINIPARALLEL_ROW(3, m0, m1, m2)
MINIPARALLEL_ROW(4, m0, m1, m2, m3)
MINIPARALLEL_ROW(5, m0, m1, m2, m3, m4)
MINIPARALLEL_ROW(6, m0, m1, m2, m3, m4, m5)
MINIPARALLEL_ROW(7, m0, m1, m2, m3, m4, m5, m6)
MINIPARALLEL_ROW(8, m0, m1, m2, m3, m4, m5, m6, m7)
MINIPARALLEL_ROW(9, m0, m1, m2, m3, m4, m5, m6, m7, m8)
MINIPARALLEL_ROW(10, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9)
MINIPARALLEL_ROW(11, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10)
MINIPARALLEL_ROW(12, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11)
MINIPARALLEL_ROW(13, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12)
MINIPARALLEL_ROW(14, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13)
MINIPARALLEL_ROW(15, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14)
MINIPARALLEL_ROW(16, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15)
MINIPARALLEL_ROW(17, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16)
MINIPARALLEL_ROW(18, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17)
MINIPARALLEL_ROW(19, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18)
MINIPARALLEL_ROW(20, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19)
MINIPARALLEL_ROW(21, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20)
MINIPARALLEL_ROW(22, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21)
MINIPARALLEL_ROW(23, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22)
MINIPARALLEL_ROW(24, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23)
MINIPARALLEL_ROW(25, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24)
MINIPARALLEL_ROW(26, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25)
MINIPARALLEL_ROW(27, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26)
MINIPARALLEL_ROW(28, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27)
MINIPARALLEL_ROW(29, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28)
MINIPARALLEL_ROW(30, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29)
MINIPARALLEL_ROW(31, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30)
MINIPARALLEL_ROW(32, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31)
MINIPARALLEL_ROW(33, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32)
MINIPARALLEL_ROW(34, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33)
MINIPARALLEL_ROW(35, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34)
MINIPARALLEL_ROW(36, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35)
MINIPARALLEL_ROW(37, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36)
MINIPARALLEL_ROW(38, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37)
MINIPARALLEL_ROW(39, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38)
MINIPARALLEL_ROW(40, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39)
MINIPARALLEL_ROW(41, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40)
MINIPARALLEL_ROW(42, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41)
MINIPARALLEL_ROW(43, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42)
MINIPARALLEL_ROW(44, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43)
MINIPARALLEL_ROW(45, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44)
MINIPARALLEL_ROW(46, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45)
MINIPARALLEL_ROW(47, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46)
MINIPARALLEL_ROW(48, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47)
MINIPARALLEL_ROW(49, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47, m48)
MINIPARALLEL_ROW(50, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47, m48, m49)
MINIPARALLEL_ROW(51, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47, m48, m49, m50)
MINIPARALLEL_ROW(52, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47, m48, m49, m50, m51)
MINIPARALLEL_ROW(53, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47, m48, m49, m50, m51, m52)
MINIPARALLEL_ROW(54, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47, m48, m49, m50, m51, m52, m53)
MINIPARALLEL_ROW(55, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47, m48, m49, m50, m51, m52, m53, m54)
MINIPARALLEL_ROW(56, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47, m48, m49, m50, m51, m52, m53, m54, m55)
MINIPARALLEL_ROW(57, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47, m48, m49, m50, m51, m52, m53, m54, m55,
                  m56)
MINIPARALLEL_ROW(58, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47, m48, m49, m50, m51, m52, m53, m54, m55,
                  m56, m57)
MINIPARALLEL_ROW(59, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47, m48, m49, m50, m51, m52, m53, m54, m55,
                  m56, m57, m58)
MINIPARALLEL_ROW(60, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47, m48, m49, m50, m51, m52, m53, m54, m55,
                  m56, m57, m58, m59)
MINIPARALLEL_ROW(61, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47, m48, m49, m50, m51, m52, m53, m54, m55,
                  m56, m57, m58, m59, m60)
MINIPARALLEL_ROW(62, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47, m48, m49, m50, m51, m52, m53, m54, m55,
                  m56, m57, m58, m59, m60, m61)
MINIPARALLEL_ROW(63, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47, m48, m49, m50, m51, m52, m53, m54, m55,
                  m56, m57, m58, m59, m60, m61, m62)
MINIPARALLEL_ROW(64, m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
                  m20, m21, m22, m23, m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35, m36, m37,
                  m38, m39, m40, m41, m42, m43, m44, m45, m46, m47, m48, m49, m50, m51, m52, m53, m54, m55,
                  m56, m57, m58, m59, m60, m61, m62, m63)
#undef MINIPARALLEL_ROW
#undef MINIPARALLEL_TAKES_REFERENCES
  // clang-format on
  {
    return visitor();
  }
}

}  // namespace miniparallel::reflect
