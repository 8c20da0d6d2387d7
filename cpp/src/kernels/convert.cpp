#include "kernels/convert.h"

#include "core/check.h"
#include "core/element_type.h"
#include "core/threads.h"

namespace d2deploy {

void convert(DType from, const void* x, DType to, void* y, std::int64_t count) {
  check<InternalError>(is_real(from) && is_real(to), "convert: takes real numbers, got ", from, " and ", to);
  with_real_type(from, [&]<class From>(From) {
    with_real_type(to, [&]<class To>(To) {
      const auto* source = static_cast<const From*>(x);
      auto* target = static_cast<To*>(y);
      parallel_for(count, 1 << 15, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) target[i] = static_cast<To>(static_cast<float>(source[i]));
      });
    });
  });
}

}  // namespace d2deploy
