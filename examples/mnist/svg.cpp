#include "svg.h"

#include <charconv>
#include <cstdint>

namespace {

constexpr const char* kStyle = R"(
text { font: 12px sans-serif; fill: #333 }
.heading { font-size: 18px; font-weight: bold } .title { font-size: 14px; font-weight: bold }
.small { font-size: 10.5px } .muted { fill: #6b6b6b } .strong { font-weight: bold }
.middle { text-anchor: middle } .end { text-anchor: end }
.page { fill: #fff } .axis { stroke: #777 } .grid { stroke: #e3e3e3 }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round }
polyline.batches { stroke-width: 1 }
.batches { stroke: #8fb8dd } .train { stroke: #2f6fb0 } .test { stroke: #d9661f }
circle.train { fill: #2f6fb0 } circle.test { fill: #d9661f }
image { image-rendering: pixelated }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd } .muted { fill: #a0a0a0 }
  .page { fill: #1b1d21 } .axis { stroke: #8a8a8a } .grid { stroke: #33363c }
  .batches { stroke: #41658a } .train { stroke: #6ba7e5 } .test { stroke: #f08c4b }
  circle.train { fill: #6ba7e5 } circle.test { fill: #f08c4b }
}
)";

/// ` name="value"`.
std::string attribute(const char* name, const std::string& value) {
  return ' ' + std::string(name) + "=\"" + value + '"';
}
std::string attribute(const char* name, double value) { return attribute(name, decimal(value, 2)); }

std::string box_attributes(const Box& box) {
  return attribute("x", box.left) + attribute("y", box.top) + attribute("width", box.width) +
         attribute("height", box.height);
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else if (static_cast<unsigned char>(c) >= ' ')  // XML has no control characters
      result += c;
  }
  return result;
}

std::string base64(const std::string& bytes) {
  constexpr const char* kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t j = i; j < i + 3; ++j)
      bits = bits << 8 | (j < bytes.size() ? static_cast<unsigned char>(bytes[j]) : 0u);
    for (int shift = 18; shift >= 0; shift -= 6) text += kDigits[bits >> shift & 63];
  }
  const std::size_t padding = (3 - bytes.size() % 3) % 3;
  return text.replace(text.size() - padding, padding, padding, '=');
}

}  // namespace

std::string decimal(double value, int decimals) {
  char digits[400];  // the largest double has 309 before the point
  return {digits, std::to_chars(digits, std::end(digits), value, std::chars_format::fixed, decimals).ptr};
}

Svg::Svg(double width, double height)
    : body_("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + decimal(width, 2) + ' ' +
            decimal(height, 2) + '"' + attribute("width", width) + attribute("height", height) +
            ">\n<style>" + kStyle + "</style>\n<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n") {}

void Svg::line(const char* css, Point from, Point to) {
  body_ += "<line" + attribute("class", css) + attribute("x1", from.x) + attribute("y1", from.y) +
           attribute("x2", to.x) + attribute("y2", to.y) + "/>\n";
}

void Svg::polyline(const char* css, const std::vector<Point>& points) {
  std::string list;
  for (const Point& point : points)
    list += (list.empty() ? "" : " ") + decimal(point.x, 2) + ',' + decimal(point.y, 2);
  body_ += "<polyline" + attribute("class", css) + attribute("points", list) + "/>\n";
}

void Svg::circle(const char* css, Point center, double radius) {
  body_ += "<circle" + attribute("class", css) + attribute("cx", center.x) + attribute("cy", center.y) +
           attribute("r", radius) + "/>\n";
}

void Svg::text(const char* css, Point baseline, const std::string& text) {
  body_ += "<text" + attribute("class", css) + attribute("x", baseline.x) + attribute("y", baseline.y) + '>' +
           escaped(text) + "</text>\n";
}

void Svg::image(const Box& box, const std::string& png, const std::string& title) {
  body_ += "<image" + box_attributes(box) + attribute("href", "data:image/png;base64," + base64(png)) +
           "><title>" + escaped(title) + "</title></image>\n";
}

void Svg::begin_clip(const Box& box) {
  const std::string id = "clip" + std::to_string(++clips_);
  body_ += "<clipPath" + attribute("id", id) + "><rect" + box_attributes(box) + "/></clipPath>\n<g" +
           attribute("clip-path", "url(#" + id + ")") + ">\n";
}

void Svg::end_clip() { body_ += "</g>\n"; }

std::string Svg::finish() const { return body_ + "</svg>\n"; }
