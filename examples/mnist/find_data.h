#pragma once

#include <string>
#include <vector>

/// A data set in MNIST's form.
struct DataSource {
  std::string folder;
  std::string name;                  ///< MNIST or Fashion-MNIST
  std::vector<std::string> classes;  ///< what the labels 0 to 9 stand for
};

/// The data set in `folder`; where that is empty, MNIST in its usual places, else downloaded where the
/// machine is online, else Debian's Fashion-MNIST. Throws if there is neither.
DataSource find_data(const std::string& folder);
