#pragma once

#include "kernels/macros.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

/// exp, log and tanh of float64, without branches or tables, so that the CPU's loops vectorise;
/// on a GPU CUDA's.

namespace miniparallel::kernels::math {

#if defined(__CUDACC__)
MP_INLINE double exp(double x) { return std::exp(x); }
MP_INLINE double log(double x) { return std::log(x); }
MP_INLINE double tanh(double x) { return std::tanh(x); }
#else
inline constexpr double kRounding = 6755399441055744.0;  // 1.5 * 2^52: a sum's low bits are the rounded whole

/// The nearest whole number of a value below 2^51, and 2 to the power of one.
MP_INLINE double nearest_whole(double x) { return (x + kRounding) - kRounding; }
MP_INLINE double power_of_2(double n) {
  return std::bit_cast<double>((std::bit_cast<std::uint64_t>(n + kRounding) + 1023) << 52);
}

/// exp as for float32, by a polynomial of degree 11, minimax for (e^r - 1 - r) / r^2: below 1.5 ulp.
MP_INLINE double exp(double x) {
  const double limited = x < -746. ? -746. : x > 710. ? 710. : x;
  const double n = nearest_whole(limited * 1.4426950408889634);
  const double r = (limited - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
  double p = 2.5000018833187373177e-8;
  p = p * r + 2.7630306250293600047e-7;
  p = p * r + 2.7557586803895324478e-6;
  p = p * r + 2.4801492949633869166e-5;
  p = p * r + 0.00019841269505773775103;
  p = p * r + 0.0013888888943759965395;
  p = p * r + 0.0083333333334949772613;
  p = p * r + 0.041666666666529728218;
  p = p * r + 0.16666666666666411508;
  p = p * r + 0.5000000000000010669;
  const double fraction = p * r * r + r + 1.;
  const double half = nearest_whole(n * 0.5);
  return fraction * power_of_2(half) * power_of_2(n - half);
}

/// f and n of x = 2^n (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), for a normal x.
struct LogParts64 {
  double f, exponent;

  MP_INLINE explicit LogParts64(double x) {
    constexpr std::uint64_t root = 0x3fe6a09e00000000;  // below sqrt(1/2)
    const std::uint64_t bits = std::bit_cast<std::uint64_t>(x) + (0x3ff0000000000000 - root);
    f = std::bit_cast<double>((bits & 0xfffffffffffff) + root) - 1.;
    // The exponent's bits as the last ones of 2^52 and more: there is no vector instruction to convert them.
    exponent = std::bit_cast<double>((bits >> 52) | 0x4330000000000000) - (4503599627370496. + 1023.);
  }
};

/// `y`, a logarithm of x, where x > 0 and finite; else what a logarithm of x is.
MP_INLINE double logarithm(double x, double y) {
  const double infinity = std::numeric_limits<double>::infinity();
  const double limited = x < infinity ? y : x;  // infinity and NaN pass
  return x > 0. ? limited : x == 0. ? -infinity : std::numeric_limits<double>::quiet_NaN();
}

/// log by these parts, and a polynomial in s^2, s = (m - 1) / (m + 1) (fdlibm): below 1 ulp.
MP_INLINE double log(double x) {
  const bool subnormal = x < 2.2250738585072014e-308;
  const LogParts64 parts(subnormal ? x * 18014398509481984. : x);
  const double f = parts.f, n = parts.exponent - (subnormal ? 54. : 0.);
  const double s = f / (2. + f), z = s * s;
  double p = 1.479819860511658591e-01;
  p = p * z + 1.531383769920937332e-01;
  p = p * z + 1.818357216161805012e-01;
  p = p * z + 2.222219843214978396e-01;
  p = p * z + 2.857142874366239149e-01;
  p = p * z + 3.999999999940941908e-01;
  p = p * z + 6.666666666666735130e-01;
  const double square = 0.5 * f * f;
  const double tail = s * (square + p * z) + n * 1.90821492927058770002e-10;
  return logarithm(x, ((tail - square) + f) + n * 6.93147180369123816490e-01);
}

/// tanh as for float32, below 0.625 by a rational function (Cephes tanh).
MP_INLINE double tanh(double x) {
  const double a = x < 0. ? -x : x;
  const double z = x * x;
  const double p = (-9.64399179425052238628e-1 * z - 9.92877231001918586564e1) * z - 1.61468768441708447952e3;
  const double q =
      ((z + 1.12811678491632931402e2) * z + 2.23548839060100448583e3) * z + 4.84406305325125486048e3;
  const double small = x * (p / q * z + 1.);
  const double large = 1. - 2. / (exp(2. * (a > 20. ? 20. : a)) + 1.);  // tanh 20 rounds to 1
  const double signed_large = x < 0. ? -large : large;
  return a < 0.625 ? small : signed_large;
}
#endif

}  // namespace miniparallel::kernels::math
