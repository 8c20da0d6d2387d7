"""Batch normalisations after layers that are used more than once."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from d2deploy.export.tracing import to_onnx
from d2deploy.padding import Padding


class OneLayerManyNorms(nn.Module):
    """As RetinaNet's head with BN: one convolution, a normalisation of each level; and the convolution alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(3))
        for i, tensor in enumerate(self.norms.state_dict().values()):
            if tensor.is_floating_point():
                tensor += i / 10

    def forward(self, data: Tensor, im_info: Tensor) -> tuple[Tensor, ...]:
        scaled = (data * (i + 2) for i in range(3))
        return (*(norm(self.conv(x)) for x, norm in zip(scaled, self.norms, strict=True)), self.conv(data))


def test_one_layer_with_many_norms() -> None:
    torch.manual_seed(0)
    module = OneLayerManyNorms().eval()
    inputs = {"data": torch.rand(1, 2, 64, 70), "im_info": torch.zeros(1, 3)}
    model = onnx_ir.to_proto(to_onnx(module, inputs, ["a", "b", "c", "d"], Padding()))
    assert {node.op_type for node in model.graph.node} == {"Conv", "Mul"}
    onnx.checker.check_model(model)
    names = [initializer.name for initializer in model.graph.initializer]
    assert len(names) == len(set(names))
    assert len([name for name in names if name.endswith("weight")]) == 4
    found = ReferenceEvaluator(model).run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    with torch.no_grad():
        for output, wanted in zip(found, module(**inputs), strict=True):
            np.testing.assert_allclose(output, wanted, atol=1e-5)
