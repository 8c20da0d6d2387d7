// Marks what kernels of GPUs share with the host: plain arithmetic, without errors and without memory of its own.
#pragma once

#ifdef __CUDACC__
#define SIMT_HOST_DEVICE __host__ __device__
#define SIMT_UNROLL _Pragma("unroll")
#else
#define SIMT_HOST_DEVICE
#define SIMT_UNROLL  // the loop behind it: its arrays stay in registers of a GPU
#endif
