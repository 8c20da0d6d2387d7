"""run.py EXAMPLE MODULE...: imports the modules in this order and runs the example with d2deploy, twice, the same
both times; other libraries compute in between. Only what the modules need is imported beside them, so that this runs
in a bare system, too."""

import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))  # png.py, of the standard library alone

modules = {name: import_module(name) for name in sys.argv[2:]}
d2deploy = modules["d2deploy"]

import numpy as np  # noqa: E402
from png import read_png  # noqa: E402

model = d2deploy.Caffe2Model.load_protobuf(sys.argv[1])
image = read_png(Path(sys.argv[1]) / "input.png")[:, :, ::-1].transpose(2, 0, 1)


def predict() -> dict[str, np.ndarray]:
    found = model([{"image": image}])[0]["instances"]
    return {"boxes": np.asarray(found.pred_boxes.tensor), "masks": np.asarray(found.pred_masks), "scores": found.scores}


first = predict()
if "torch" in modules:
    torch = modules["torch"]
    torch.nn.functional.conv2d(torch.rand(1, 64, 100, 100), torch.rand(64, 64, 3, 3))
if "cv2" in modules:
    modules["cv2"].GaussianBlur(np.zeros((200, 200, 3), np.uint8), (5, 5), 1)
second = predict()
for name, values in first.items():
    if not np.array_equal(values, second[name]):
        sys.exit(f"error: {name} differ from one run to the next")
if (first["scores"] >= 0.6).sum() != 6:
    sys.exit(f"error: found scores {first['scores']}, wanted 6 of at least 0.6")
print(f"d2deploy {d2deploy.__version__}, {' > '.join(modules)}: {len(first['scores'])} objects")
