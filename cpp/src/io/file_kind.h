// What a file is that is not a Caffe2 net, for a message that helps.
#pragma once
#include <string_view>

#include "io/bytes.h"

namespace d2deploy {

/// "a PNG image", "an ONNX model; ...", and so on with the way out where there is one; empty: it may be a net.
/// Looks at the first bytes alone.
std::string_view foreign_kind(Bytes bytes);

}  // namespace d2deploy
