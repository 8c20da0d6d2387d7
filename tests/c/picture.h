/* A picture in which the example finds something. */
#ifndef D2DEPLOY_TESTS_PICTURE_H
#define D2DEPLOY_TESTS_PICTURE_H
#include <stdint.h>

enum { kHeight = 192, kWidth = 256, kBytes = kHeight * kWidth * 3 };

/* Squares on a plain ground, in BGR. */
void draw_squares(uint8_t* pixels, unsigned seed);

#endif
