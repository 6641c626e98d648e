#pragma once

#include <string>
#include <vector>

/// A point of a picture, in pixels from its top left corner.
struct Point {
  double x, y;
};

/// A rectangle of a picture.
struct Box {
  double left, top, width, height;
  double right() const { return left + width; }
  double bottom() const { return top + height; }
};

/// `value` with so many decimals, the same in every locale.
std::string decimal(double value, int decimals);

/// A picture in SVG that needs no other file. `css`: classes of the style sheet in svg.cpp, whose colours
/// suit light and dark pages.
class Svg {
 public:
  Svg(double width, double height);

  void line(const char* css, Point from, Point to);
  void polyline(const char* css, const std::vector<Point>& points);
  void circle(const char* css, Point center, double radius);
  void text(const char* css, Point baseline, const std::string& text);
  /// A PNG file; `title` is shown under the mouse.
  void image(const Box& box, const std::string& png, const std::string& title);

  /// Drawings between these are cut off at the box.
  void begin_clip(const Box& box);
  void end_clip();

  std::string finish() const;

 private:
  std::string body_;
  int clips_ = 0;
};
