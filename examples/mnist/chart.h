#pragma once

#include "svg.h"

#include <string>
#include <vector>

/// One curve. Points that are not finite are left out.
struct Series {
  const char* css;
  std::string name;
  std::vector<Point> points;  ///< in the units of the axes
  bool dots = true;           ///< a dot at each point
};

/// Curves over x from `x_begin` to `x_end`, with ticks at whole numbers. The y axis reaches from the tick at
/// or below y_low to the one at or above y_high; what leaves it is cut off.
struct Chart {
  std::string title, x_label;
  double x_begin, x_end, y_low, y_high;
  const char* y_unit;  ///< behind the numbers at the axis
  std::vector<Series> series;
};

/// `box` has room for the title above, the legend below it and the numbers next to the axes.
void draw(Svg& svg, const Box& box, const Chart& chart);

/// The distance of ticks, 1, 2 or 5 times a power of ten, that divides `range` into about `parts`.
double tick_distance(double range, int parts);
