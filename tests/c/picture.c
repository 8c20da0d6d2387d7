#include "picture.h"

#include <string.h>

void draw_squares(uint8_t* pixels, unsigned seed) {
  memset(pixels, 90, kBytes);
  for (int i = 0; i < 4; ++i) {
    unsigned numbers[4];
    for (int n = 0; n < 4; ++n) {
      seed = seed * 1103515245u + 12345u;
      numbers[n] = seed >> 16 & 0x7FFF;
    }
    const int side = 30 + (int)(numbers[0] % 40), top = (int)(numbers[1] % (kHeight - 70)),
              left = (int)(numbers[2] % (kWidth - 70));
    for (int y = top; y < top + side; ++y) {
      for (int x = left; x < left + side; ++x) {
        uint8_t* pixel = pixels + (y * kWidth + x) * 3;
        pixel[0] = (uint8_t)(numbers[3] & 0xFF);
        pixel[1] = (uint8_t)(numbers[3] >> 7 & 0xFF);
        pixel[2] = 230;
      }
    }
  }
}
