// From protobuf's messages to the arguments of a node.
#pragma once
#include <caffe2.pb.h>

#include <string>

#include "core/args.h"
#include "d2deploy/log.h"
#include "io/bytes.h"

namespace d2deploy {

using ArgumentList = google::protobuf::RepeatedPtrField<proto::Argument>;

/// Args by name, typed as they stand in the file; one with nothing but a name is an empty Ints. `where` begins the
/// warning about an argument that is there twice.
/// Throws InvalidModel: an argument without name, with values of two kinds, or twice with different values;
/// Unsupported: one that holds a net or a tensor.
Args read_arguments(const ArgumentList& list, const std::string& where, const Log& log);

/// Parses one message. Throws InvalidModel where it is damaged.
void parse(google::protobuf::MessageLite& message, Bytes bytes);

}  // namespace d2deploy
