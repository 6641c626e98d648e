#include "chart.h"

#include <algorithm>
#include <cmath>

namespace {

/// The number with as many decimals as ticks so far apart need.
std::string tick_text(double value, double distance) {
  const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(distance) - 1e-9)));
  return decimal(std::abs(value) < distance / 2 ? 0 : value, decimals);
}

/// The area of the curves within the box of a chart, and the places of its numbers.
struct Plane {
  const Chart& chart;
  Box area;
  double y_step, y_low, y_high;

  Plane(const Chart& of, const Box& box)
      : chart(of),
        area{box.left + 52, box.top + 48, box.width - 64, box.height - 92},
        y_step(tick_distance(of.y_high - of.y_low, 6)),
        y_low(std::floor(of.y_low / y_step + 1e-9) * y_step),
        y_high(std::ceil(of.y_high / y_step - 1e-9) * y_step) {}

  double x(double value) const {
    return area.left + area.width * (value - chart.x_begin) / (chart.x_end - chart.x_begin);
  }
  double y(double value) const { return area.bottom() - area.height * (value - y_low) / (y_high - y_low); }
};

void draw_axes(Svg& svg, const Plane& plane) {
  const Chart& chart = plane.chart;
  const Box& area = plane.area;
  for (double y = plane.y_low; y < plane.y_high + plane.y_step / 2; y += plane.y_step) {
    svg.line("grid", {area.left, plane.y(y)}, {area.right(), plane.y(y)});
    svg.text("end muted", {area.left - 8, plane.y(y) + 4}, tick_text(y, plane.y_step) + chart.y_unit);
  }
  const double x_step = std::max(1.0, tick_distance(chart.x_end - chart.x_begin, 8));
  for (double x = std::ceil(chart.x_begin / x_step) * x_step; x <= chart.x_end; x += x_step) {
    svg.line("axis", {plane.x(x), area.bottom()}, {plane.x(x), area.bottom() + 5});
    svg.text("middle muted", {plane.x(x), area.bottom() + 19}, tick_text(x, x_step));
  }
  svg.line("axis", {area.left, area.bottom()}, {area.right(), area.bottom()});
  svg.text("middle", {area.left + area.width / 2, area.bottom() + 38}, chart.x_label);
}

void draw_curve(Svg& svg, const Plane& plane, const Series& series) {
  std::vector<Point> points;
  for (const Point& point : series.points)
    if (std::isfinite(point.y)) points.push_back({plane.x(point.x), plane.y(point.y)});
  svg.polyline(series.css, points);
  if (!series.dots) return;
  const double radius = points.size() > 40 ? 1.5 : 3;
  for (const Point& point : points) svg.circle(series.css, point, radius);
}

void draw_legend(Svg& svg, Point at, const std::vector<Series>& all) {
  for (const Series& series : all) {
    svg.polyline(series.css, {{at.x, at.y - 4}, {at.x + 20, at.y - 4}});
    svg.text("small", {at.x + 26, at.y}, series.name);
    at.x += 44 + 5.6 * static_cast<double>(series.name.size());
  }
}

}  // namespace

double tick_distance(double range, int parts) {
  const double rough = range / parts, power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= rough * 0.999) return factor * power;
  return 10 * power;
}

void draw(Svg& svg, const Box& box, const Chart& chart) {
  const Plane plane(chart, box);
  svg.text("title", {box.left, box.top + 14}, chart.title);
  draw_legend(svg, {plane.area.left, box.top + 36}, chart.series);
  draw_axes(svg, plane);
  const Box& area = plane.area;
  svg.begin_clip({area.left - 4, area.top, area.width + 8, area.height + 4});  // dots on an axis are whole
  for (const Series& series : chart.series) draw_curve(svg, plane, series);
  svg.end_clip();
}
