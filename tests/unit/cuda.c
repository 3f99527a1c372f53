/* What NVRTC tells of kernels, read back. */
#include "codegen/cuda/cuda.h"

#include <setjmp.h>
#include <cmocka.h>

static const char log[] = "ptxas info    : 0 bytes gmem\n"
                          "ptxas info    : Compiling entry function 'm_f_1_contract' for 'sm_90a'\n"
                          "ptxas         .     0 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads\n"
                          "ptxas info    : Used 255 registers, used 1 barriers, 376 bytes cmem[0]\n"
                          "ptxas info    : Compiling entry function 'm_f_1' for 'sm_90a'\n"
                          "ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
                          "ptxas info    : Used 32 registers, used 0 barriers\n"
                          "ptxas info    : Function properties for m_f_1_tasks\n"
                          "ptxas         .     0 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads\n"
                          "ptxas info    : Compiling entry function 'm_f_1' for 'sm_80'\n"
                          "ptxas info    : Compiling entry function 'm_f_2' for 'sm_80'\n"
                          "ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
                          "ptxas info    : Used 9 registers\n";

static void usage_is_that_of_the_kernel(void **state) {
  (void)state;
  CudaUsage usage;
  assert_true(cuda_usage(log, "m_f_1_contract", "sm_90a", &usage));
  assert_int_equal(usage.registers, 255);
  assert_int_equal(usage.spilled, 12);
  assert_true(cuda_usage(log, "m_f_1", "sm_90a", &usage));
  assert_int_equal(usage.registers, 32);
  assert_int_equal(usage.spilled, 4); /* of what it calls */
}

static void what_is_not_told_is_not_known(void **state) {
  (void)state;
  CudaUsage usage;
  assert_false(cuda_usage(log, "m_f", "sm_90a", &usage));
  assert_false(cuda_usage(log, "m_f_1", "sm_80", &usage)); /* the figures behind it are the next one's */
  assert_false(cuda_usage(NULL, "m_f_1", "sm_80", &usage));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(usage_is_that_of_the_kernel),
      cmocka_unit_test(what_is_not_told_is_not_known),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
