/* What the tests in C share. A test that fails says where, and the program goes on. */
#ifndef D2DEPLOY_TESTS_TEST_H
#define D2DEPLOY_TESTS_TEST_H
#include <d2deploy/c.h>

/* The folder of the example, a Mask R-CNN that finds squares. */
extern const char* model_folder;
extern int failures;

void fail_at(const char* file, int line, const char* what);
#define CHECK(condition)                                       \
  do {                                                         \
    if (!(condition)) fail_at(__FILE__, __LINE__, #condition); \
  } while (0)
/* For what the rest of a test needs. */
#define REQUIRE(call)                                  \
  do {                                                 \
    if ((call) != D2D_OK) {                            \
      fail_at(__FILE__, __LINE__, d2d_last_message()); \
      return;                                          \
    }                                                  \
  } while (0)
/* The call must fail with this status, and a message that holds this text. */
#define REFUSES(call, status, text) check_refusal(__FILE__, __LINE__, (call), (status), (text))
void check_refusal(const char* file, int line, d2d_status found, d2d_status wanted, const char* text);

/* Options that the example is quick with. */
d2d_options quick_options(int64_t min_size);
int same_prediction(const d2d_prediction* a, const d2d_prediction* b);

void test_errors(void);
void test_predictions(void);
void test_session(void);
void test_sharing(void);

#endif
