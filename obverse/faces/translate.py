"""Translates a TensorFlow Lite network into ONNX, operation by operation.

Pictures are laid out channels first from input to output, so that no transposition is left inside
the graph, and constants stay half-precision as published (ONNX Runtime widens them once, on load).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from obverse.errors import ConfigError

__all__ = ["translate"]

OPSET = 17
IR_VERSION = 8  # what opset 17 came with; older ONNX Runtimes read it

Array = npt.NDArray[Any]


class _Network:
    """A TensorFlow Lite graph: its operations in order, its constants as arrays."""

    def __init__(self, content: bytes) -> None:
        import tflite

        self.tflite: Any = tflite
        self.model = tflite.Model.GetRootAsModel(content, 0)
        self.graph = self.model.Subgraphs(0)
        self.kinds = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
        self.activations = {
            v: k for k, v in vars(tflite.ActivationFunctionType).items() if isinstance(v, int)
        }

    def kind(self, operation: Any) -> str:
        code = self.model.OperatorCodes(operation.OpcodeIndex())
        kind = self.kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        return str(code.CustomCode().decode()) if kind == "CUSTOM" else kind

    def shape(self, index: int) -> list[int]:
        shape = self.graph.Tensors(index).ShapeAsNumpy()
        return [] if isinstance(shape, int) else [int(n) for n in shape]

    def constant(self, index: int) -> Array | None:
        tensor = self.graph.Tensors(index)
        data = self.model.Buffers(tensor.Buffer()).DataAsNumpy()
        if isinstance(data, int):  # an activation
            return None
        types = self.tflite.TensorType
        dtype = {types.FLOAT32: "<f4", types.FLOAT16: "<f2", types.INT32: "<i4"}[tensor.Type()]
        array: Array = np.frombuffer(data.tobytes(), dtype).reshape(self.shape(index))
        return array

    def options(self, operation: Any, kind: str) -> Any:
        options = getattr(self.tflite, kind)()
        table = operation.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        return options


def _same_pads(
    size: Sequence[int], out: Sequence[int], kernel: Sequence[int], stride: Sequence[int]
) -> list[int]:
    """Return ONNX's [top, left, bottom, right] of SAME padding, the odd pixel at the end."""
    total = [
        max((o - 1) * s + k - n, 0) for n, o, k, s in zip(size, out, kernel, stride, strict=True)
    ]
    return [t // 2 for t in total] + [t - t // 2 for t in total]


class _Converter:
    """Walks one network and writes its ONNX graph.

    With `pictures`, rank-4 activations are kept channels first; without, every tensor keeps its
    published layout and 1x1 convolutions become matrix products.
    """

    def __init__(self, network: _Network, pictures: bool) -> None:
        self.net = network
        self.pictures = pictures
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.values: dict[int, str] = {}  # activation index -> ONNX name
        self.constants: dict[int, Array] = {}
        self.temporaries = 0

    def _add(
        self, op: str, inputs: Sequence[str], output: str | None = None, **attributes: Any
    ) -> str:
        if output is None:
            self.temporaries += 1
            output = f"t{self.temporaries}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def _store(self, array: Array) -> str:
        """Keep a constant, at half precision with a Cast to be folded if nothing is lost."""
        array = np.ascontiguousarray(array)
        name = f"c{len(self.initializers)}"
        half = array.astype(np.float16) if array.dtype == np.float32 and array.size > 1 else None
        if half is not None and np.array_equal(half.astype(np.float32), array):
            self.initializers[name] = numpy_helper.from_array(half, name)
            return self._add("Cast", [name], to=TensorProto.FLOAT)
        self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def _constant(self, index: int) -> Array:
        if index not in self.constants:
            array = self.net.constant(index)
            if array is None:
                raise ConfigError(
                    f"tensor {index} is computed where this converter expects a constant."
                )
            self.constants[index] = array.astype(np.float32) if array.dtype == np.float16 else array
        return self.constants[index]

    def _value(self, index: int) -> str:
        """Return the name of any operand, an activation or a constant."""
        if index not in self.values:
            array = self._constant(index)
            if self.pictures and array.ndim == 4:
                array = array.transpose(0, 3, 1, 2)
            self.values[index] = self._store(array)
        return self.values[index]

    def _axis(self, axis: int, rank: int) -> int:
        axis %= rank
        return (0, 2, 3, 1)[axis] if self.pictures and rank == 4 else axis

    def _activate(self, name: str, code: int) -> str:
        kind = self.net.activations[code]
        if kind == "NONE":
            return name
        if kind == "RELU":
            return self._add("Relu", [name])
        raise ConfigError(f"the fused activation {kind} is not supported; add it to translate.py.")

    def _convolution(self, op: Any, depthwise: bool) -> str:
        options = self.net.options(op, "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions")
        source, weights_index, bias_index = (int(i) for i in op.InputsAsNumpy())
        weights, bias = self._constant(weights_index), self._constant(bias_index)
        if not self.pictures:
            if depthwise or weights.shape[1:3] != (1, 1):
                raise ConfigError("outside pictures only 1x1 convolutions are supported.")
            product = self._add("MatMul", [self._value(source), self._store(weights[:, 0, 0].T)])
            result = self._add("Add", [product, self._store(bias)])
            return self._activate(result, options.FusedActivationFunction())
        stride = [options.StrideH(), options.StrideW()]
        kernel = list(weights.shape[1:3])
        size, out = self.net.shape(source)[1:3], self.net.shape(int(op.Outputs(0)))[1:3]
        same = options.Padding() == self.net.tflite.Padding.SAME
        result = self._add(
            "Conv",
            [
                self._value(source),
                self._store(
                    weights.transpose(3, 0, 1, 2) if depthwise else weights.transpose(0, 3, 1, 2)
                ),
                self._store(bias),
            ],
            kernel_shape=kernel,
            strides=stride,
            pads=_same_pads(size, out, kernel, stride) if same else [0, 0, 0, 0],
            group=weights.shape[3] if depthwise else 1,
        )
        return self._activate(result, options.FusedActivationFunction())

    def _pool(self, op: Any, kind: str) -> str:
        options = self.net.options(op, "Pool2DOptions")
        kernel, stride = (
            [options.FilterHeight(), options.FilterWidth()],
            [options.StrideH(), options.StrideW()],
        )
        source = int(op.Inputs(0))
        size, out = self.net.shape(source)[1:3], self.net.shape(int(op.Outputs(0)))[1:3]
        if kind == "AVERAGE_POOL_2D" and kernel == size and out == [1, 1]:
            return self._add("GlobalAveragePool", [self._value(source)])
        same = options.Padding() == self.net.tflite.Padding.SAME
        pads = _same_pads(size, out, kernel, stride) if same else [0, 0, 0, 0]
        name = "MaxPool" if kind == "MAX_POOL_2D" else "AveragePool"
        return self._add(
            name, [self._value(source)], kernel_shape=kernel, strides=stride, pads=pads
        )

    def _resize(self, op: Any) -> str:
        options = self.net.options(op, "ResizeBilinearOptions")
        mode = "half_pixel" if options.HalfPixelCenters() else "asymmetric"
        mode = "align_corners" if options.AlignCorners() else mode
        n, h, w, c = self.net.shape(int(op.Outputs(0)))
        sizes = self._store(np.array([n, c, h, w], np.int64))
        return self._add(
            "Resize",
            [self._value(int(op.Inputs(0))), "", "", sizes],
            mode="linear",
            coordinate_transformation_mode=mode,
        )

    def _slice(self, op: Any) -> str:
        options = self.net.options(op, "StridedSliceOptions")
        if options.EllipsisMask() or options.NewAxisMask():
            raise ConfigError("strided slices with an ellipsis or new axes are not supported.")
        source = int(op.Inputs(0))
        shape = self.net.shape(source)
        starts, ends, steps = (
            self._constant(int(op.Inputs(i))).astype(np.int64).copy() for i in (1, 2, 3)
        )
        for axis in range(len(shape)):
            if options.BeginMask() >> axis & 1:
                starts[axis] = 0
            if options.EndMask() >> axis & 1:
                ends[axis] = shape[axis]
        axes = np.array([self._axis(axis, len(shape)) for axis in range(len(shape))], np.int64)
        result = self._add(
            "Slice", [self._value(source), *map(self._store, (starts, ends, axes, steps))]
        )
        shrink = [axis for axis in range(len(shape)) if options.ShrinkAxisMask() >> axis & 1]
        if shrink:
            result = self._add("Squeeze", [result, self._store(np.array(shrink, np.int64))])
        return result

    def _reshape(self, op: Any) -> str:
        source, target = int(op.Inputs(0)), self.net.shape(int(op.Outputs(0)))
        value, rank = self._value(source), len(self.net.shape(source))
        if self.pictures and rank == 4:  # the published order of elements is channels last
            value = self._add("Transpose", [value], perm=[0, 2, 3, 1])
        if self.pictures and len(target) == 4:
            raise ConfigError("a reshape into a picture is not supported.")
        return self._add("Reshape", [value, self._store(np.array(target, np.int64))])

    def _transposed_convolution(self, op: Any) -> str:
        """Convert MediaPipe's own operation.

        Its options are a TfLiteTransposeConvParams: padding, then width and height strides.
        """
        source, weights_index, bias_index = (int(i) for i in op.InputsAsNumpy())
        _, width, height = np.frombuffer(op.CustomOptionsAsNumpy().tobytes(), "<i4")[:3]
        weights = self._constant(weights_index)  # [out, kh, kw, in]
        if weights.shape[1:3] != (height, width):
            raise ConfigError(
                "a transposed convolution whose kernel is not its stride is not supported."
            )
        return self._add(
            "ConvTranspose",
            [
                self._value(source),
                self._store(weights.transpose(3, 0, 1, 2)),
                self._store(self._constant(bias_index)),
            ],
            kernel_shape=[int(height), int(width)],
            strides=[int(height), int(width)],
        )

    def _reduce(self, op: Any, kind: str) -> str:
        source = int(op.Inputs(0))
        rank = len(self.net.shape(source))
        axes = [
            self._axis(int(axis), rank) for axis in np.atleast_1d(self._constant(int(op.Inputs(1))))
        ]
        keep = int(self.net.options(op, "ReducerOptions").KeepDims())
        if kind == "SUM":  # since opset 13 its axes are an input, the mean's are still an attribute
            axes_name = self._store(np.array(axes, np.int64))
            return self._add("ReduceSum", [self._value(source), axes_name], keepdims=keep)
        return self._add("ReduceMean", [self._value(source)], axes=axes, keepdims=keep)

    def _binary(self, op: Any, onnx_name: str, options_kind: str) -> str:
        left, right = (self._value(int(i)) for i in op.InputsAsNumpy())
        result = self._add(onnx_name, [left, right])
        return self._activate(result, self.net.options(op, options_kind).FusedActivationFunction())

    def _pad(self, op: Any) -> str:
        source = int(op.Inputs(0))
        pads = self._constant(int(op.Inputs(1))).astype(np.int64)
        ordered = np.zeros_like(pads)
        for axis in range(len(pads)):
            ordered[self._axis(axis, len(pads))] = pads[axis]
        return self._add("Pad", [self._value(source), self._store(ordered.T.reshape(-1))])

    def _prelu(self, op: Any) -> str:
        """Write PReLU(x) as a x + (1 - a) relu(x), both products as 1x1 depthwise convolutions.

        ONNX Runtime has no blocked-layout PReLU: each of the landmark network's 69 cost two
        reorderings and a slow loop, two thirds of its time. Convolutions stay in the blocked layout
        and absorb the sum.
        """
        slopes = self._constant(int(op.Inputs(1))).reshape(-1, 1, 1, 1)  # [1, 1, C]
        source = self._value(int(op.Inputs(0)))
        positive = self._add("Relu", [source])
        shape: dict[str, Any] = {"kernel_shape": [1, 1], "group": len(slopes)}
        scaled = self._add("Conv", [source, self._store(slopes)], **shape)
        lifted = self._add("Conv", [positive, self._store(np.float32(1) - slopes)], **shape)
        return self._add("Add", [scaled, lifted])

    def _concatenate(self, op: Any) -> str:
        rank = len(self.net.shape(int(op.Outputs(0))))
        axis = self._axis(self.net.options(op, "ConcatenationOptions").Axis(), rank)
        return self._add("Concat", [self._value(int(i)) for i in op.InputsAsNumpy()], axis=axis)

    def _transpose(self, op: Any) -> str:
        if self.pictures:
            raise ConfigError("a transposition inside a picture network is not supported.")
        order = [int(axis) for axis in self._constant(int(op.Inputs(1)))]
        return self._add("Transpose", [self._value(int(op.Inputs(0)))], perm=order)

    def _unary(self, op: Any, *names: str) -> str:
        result = self._value(int(op.Inputs(0)))
        for name in names:
            result = self._add(name, [result])
        return result

    def _operation(self, op: Any) -> str:
        kind = self.net.kind(op)
        table: dict[str, Callable[[], str]] = {
            "CONV_2D": lambda: self._convolution(op, depthwise=False),
            "DEPTHWISE_CONV_2D": lambda: self._convolution(op, depthwise=True),
            "Convolution2DTransposeBias": lambda: self._transposed_convolution(op),
            "MAX_POOL_2D": lambda: self._pool(op, kind),
            "AVERAGE_POOL_2D": lambda: self._pool(op, kind),
            "RESIZE_BILINEAR": lambda: self._resize(op),
            "STRIDED_SLICE": lambda: self._slice(op),
            "RESHAPE": lambda: self._reshape(op),
            "TRANSPOSE": lambda: self._transpose(op),
            "CONCATENATION": lambda: self._concatenate(op),
            "PAD": lambda: self._pad(op),
            "PRELU": lambda: self._prelu(op),
            "MEAN": lambda: self._reduce(op, kind),
            "SUM": lambda: self._reduce(op, kind),
            "ADD": lambda: self._binary(op, "Add", "AddOptions"),
            "SUB": lambda: self._binary(op, "Sub", "SubOptions"),
            "MUL": lambda: self._binary(op, "Mul", "MulOptions"),
            "DIV": lambda: self._binary(op, "Div", "DivOptions"),
            "SQUARED_DIFFERENCE": lambda: self._squared_difference(op),
            "RELU": lambda: self._unary(op, "Relu"),
            "HARD_SWISH": lambda: self._unary(op, "HardSwish"),
            "LOGISTIC": lambda: self._unary(op, "Sigmoid"),
            "SQRT": lambda: self._unary(op, "Sqrt"),
            "RSQRT": lambda: self._unary(op, "Sqrt", "Reciprocal"),
            "NEG": lambda: self._unary(op, "Neg"),
        }
        if kind not in table:
            raise ConfigError(f"the operation {kind} is not supported; add it to translate.py.")
        return table[kind]()

    def _squared_difference(self, op: Any) -> str:
        left, right = (self._value(int(i)) for i in op.InputsAsNumpy())
        difference = self._add("Sub", [left, right])
        return self._add("Mul", [difference, difference])

    def _layout(self, shape: list[int]) -> list[int]:
        return (
            [shape[0], shape[3], shape[1], shape[2]] if self.pictures and len(shape) == 4 else shape
        )

    def model(self, name: str, outputs: Sequence[str]) -> onnx.ModelProto:
        """Return the checked ONNX model; `outputs` names the network's outputs in their order."""
        graph = self.net.graph
        source = int(graph.Inputs(0))
        self.values[source] = "input"
        for i in range(graph.OperatorsLength()):
            op = graph.Operators(i)
            if self.net.kind(op) == "DEQUANTIZE":  # half-precision constants
                array = self.net.constant(int(op.Inputs(0)))
                if array is None:
                    raise ConfigError(
                        "an activation is dequantised; quantised networks are not supported."
                    )
                self.constants[int(op.Outputs(0))] = array.astype(np.float32)
            else:
                self.values[int(op.Outputs(0))] = self._operation(op)
        infos = []
        for i, output in enumerate(outputs):
            index = int(graph.Outputs(i))
            self._add("Identity", [self.values[index]], output)
            shape = self._layout(self.net.shape(index))
            infos.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, shape))
        shape = self._layout(self.net.shape(source))
        entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
        onnx_graph = helper.make_graph(
            self.nodes, name, [entry], infos, list(self.initializers.values())
        )
        model = helper.make_model(onnx_graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        model.producer_name = "obverse.faces.translate"
        onnx.checker.check_model(model, full_check=True)
        return model


def translate(content: bytes, name: str, outputs: Sequence[str], pictures: bool = True) -> bytes:
    """Return a TensorFlow Lite network as a serialised ONNX model.

    Args:
        content: the flat buffer.
        name: the graph's name.
        outputs: names for the network's outputs, in their order.
        pictures: keep rank-4 activations channels first, as `[N, C, H, W]`; else keep every
        published layout.
    """
    model = _Converter(_Network(content), pictures).model(name, outputs)
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised
