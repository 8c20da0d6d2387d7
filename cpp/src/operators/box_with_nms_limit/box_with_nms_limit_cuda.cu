#include "operators/box_with_nms_limit/box_with_nms_limit.h"
#include "operators/box_with_nms_limit/detect_kernels.h"

namespace d2deploy {

namespace {

using namespace detections;
using Params = BoxWithNMSLimit::Params;

// The sum of counts [begin, end), for all threads of a block.
SIMT_DEVICE int sum_of(const std::int32_t* counts, std::int64_t begin, std::int64_t end) {
  SIMT_SHARED(int, sum, 1);
  if (threadIdx.x == 0) sum[0] = 0;
  __syncthreads();
  for (std::int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) atomicAdd(&sum[0], counts[i]);
  __syncthreads();
  const int result = sum[0];
  __syncthreads();  // the next call writes it again
  return result;
}

// How many detections there are. One block for each image, and one if there is none.
SIMT_KERNEL write_counts(Job job) {
  const std::int64_t index = blockIdx.x;
  if (index < job.images) {
    const int detections = sum_of(job.work.counts, index * job.classes, (index + 1) * job.classes);
    if (threadIdx.x == 0 && job.y.batch_splits != nullptr) job.y.batch_splits[index] = static_cast<float>(detections);
    if (job.y.keeps_size != nullptr) {
      std::int32_t* sizes = job.y.keeps_size + index * (job.classes + 1);
      if (threadIdx.x == 0) sizes[0] = 0;  // the background
      for (std::int64_t f = threadIdx.x; f < job.classes; f += blockDim.x)
        sizes[f + 1] = job.work.counts[index * job.classes + f];
    }
  }
  if (index != 0) return;
  const int all = sum_of(job.work.counts, 0, job.images * job.classes);
  if (threadIdx.x != 0) return;
  for (std::int32_t* slot : job.y.slots)
    if (slot != nullptr) *slot = all;
}

// The detections of class f of an image, behind those of the classes and images before. One block for each.
SIMT_KERNEL write_detections(Job job) {
  const std::int64_t f = blockIdx.x % job.classes, index = blockIdx.x / job.classes;
  const Image im = job.image(index);
  const std::int64_t first = sum_of(job.work.counts, 0, blockIdx.x);
  const std::int32_t count = job.work.counts[blockIdx.x];
  for (std::int64_t k = threadIdx.x; k < count; k += blockDim.x) {
    const std::int32_t row = job.work.kept[job.at(f, im) + k];
    const std::int64_t at = first + k;
    const float* box = job.box(f, im, row);
    job.y.scores[at] = job.work.scores[job.at(f, im) + k];
    for (int c = 0; c < job.columns; ++c) job.y.boxes[at * job.columns + c] = box[c];
    job.y.classes[at] = static_cast<float>(f + job.first_class);
    if (job.y.keeps != nullptr) job.y.keeps[at] = row;
  }
}

Job make_job(const Params& p, const Call& call) {
  const std::int64_t rows = call.input(0).dim(0), classes = call.input(0).dim(1) - 1;
  const bool several = call.has_input(2);
  const bool ints = several && call.input(2).dtype() == DType::int32;
  const std::int64_t images = several ? call.input(2).dim(0) : 1;
  Scratch scratch(call.scratch);
  const std::int64_t block = p.cls_agnostic_bbox_reg ? 0 : p.columns();
  const float plus_one = p.legacy_plus_one ? 1.0F : 0.0F;
  Job job{p.score_thresh,
          {p.nms, plus_one, static_cast<int>(std::clamp<std::int64_t>(p.detections_per_im, 0, INT32_MAX))},
          {p.soft_nms_method == "gaussian", p.nms, p.soft_nms_sigma, p.soft_nms_min_score_thres},
          p.detections_per_im,
          p.detectron2_order,
          static_cast<int>(p.columns()),
          p.input_boxes_include_bg_cls ? 1 : 0,
          p.columns() * BoxWithNMSLimit::box_block(p, 1),
          block,
          p.output_classes_include_bg_cls ? 1 : 0,
          device_in<float>(call, 0),
          device_in<float>(call, 1),
          classes + 1,
          call.input(1).dim(1),
          rows_of_input(call, 0),
          several && !ints ? device_in<float>(call, 2) : nullptr,
          ints ? device_in<std::int32_t>(call, 2) : nullptr,
          images,
          classes,
          Work(scratch, rows, classes, images),
          {device_out<float>(call, 0),
           device_out<float>(call, 1),
           device_out<float>(call, 2),
           device_out<float>(call, 3),
           device_out<std::int32_t>(call, 4),
           device_out<std::int32_t>(call, 5),
           {}},
          call.fault};
  for (const std::size_t i : {0U, 1U, 2U, 4U}) job.y.slots[i] = slot_of_output(call, i);
  return job;
}

void (*pick_detect(const Params& p))(Job) {
  if (p.soft_nms_enabled) return p.rotated ? detect_soft<RotatedBoxes> : detect_soft<UprightBoxes>;
  return p.rotated ? detect<RotatedBoxes> : detect<UprightBoxes>;
}

void run(const Params& p, const Call& call) {
  const Job job = make_job(p, call);
  const auto each_class = static_cast<unsigned>(job.images * job.classes);
  const auto go = [&](const char* name, void (*kernel)(Job), unsigned blocks, unsigned threads = kThreads,
                      std::size_t shared_bytes = 0) {
    if (blocks > 0) launch(name, kernel, {blocks, threads, shared_bytes, stream_of(call)}, job);
  };
  const std::size_t keys = job.rows.most <= kMostInBlock ? static_cast<std::size_t>(job.rows.most) : 0;
  go("BoxWithNMSLimit: start", start, 1);
  go("BoxWithNMSLimit: mark_usable", mark_usable, blocks_for(job.rows.most, kThreads / kWarp));
  go("BoxWithNMSLimit: detect", pick_detect(p), each_class, p.soft_nms_enabled ? kThreads : kDetectThreads,
     keys * sizeof(Word));
  if (job.limit > 0 && job.classes > 0)
    go("BoxWithNMSLimit: limit_detections", limit_detections, static_cast<unsigned>(job.images), kLimitThreads);
  go("BoxWithNMSLimit: write_counts", write_counts, static_cast<unsigned>(std::max<std::int64_t>(job.images, 1)));
  go("BoxWithNMSLimit: write_detections", write_detections, each_class);
}

std::int64_t images_of(const CallSite& site) { return site.inputs.size() > 2 ? site.inputs[2].shape[0] : 1; }

std::string reject(const Params&, const CallSite& site) {
  const Shape& scores = site.inputs[0].shape;
  if (static_cast<double>(scores[0]) * static_cast<double>(scores[1]) > INT32_MAX ||
      static_cast<double>(images_of(site)) * static_cast<double>(scores[1]) > INT32_MAX)
    return "takes at most 2^31 - 1 scores";
  return {};
}

Prepared prepare(const Params&, const CallSite& site) {
  const Shape& scores = site.inputs[0].shape;
  Scratch scratch;
  const Work work(scratch, scores[0], scores[1] - 1, images_of(site));
  Prepared prepared;
  prepared.scratch_bytes = scratch.bytes();
  return prepared;
}

void report(const Params&, const CallSite&, const DeviceFault& fault) {
  const SplitFault found{static_cast<SplitFault::Kind>(fault.code), fault.row, fault.found};
  check_split_fault(BoxWithNMSLimit::signature.type, found, static_cast<std::int64_t>(fault.wanted));
}

}  // namespace

template <>
Kernels<BoxWithNMSLimit> kernels<BoxWithNMSLimit, Backend::cuda>() {
  return {{"greedy_f32", reject, run, prepare, nullptr, DType::float32, report}};
}

}  // namespace d2deploy
