// consumer MODEL_FOLDER: objects in a gray picture, and an error of the library that is caught by its type.
#include <d2deploy/detector.h>

#include <iostream>

int main(int, char** arguments) {
  const auto detector = d2deploy::Detector::load(arguments[1]);
  const std::vector<std::uint8_t> gray(320 * 480 * 3, 128);
  std::cout << detector.predict(d2deploy::ImageView{gray.data(), 320, 480, 480 * 3}).count() << " objects\n";
  try {
    d2deploy::Detector::load("no such folder");
  } catch (const d2deploy::InvalidArgument& error) {
    std::cout << "caught: " << error.what() << '\n';
    return 0;
  }
  return 1;
}
