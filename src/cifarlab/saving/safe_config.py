"""The parts that a model description from an unknown file may consist of.

A Keras model file describes its model as nested JSON objects that name classes. Keras calls the
classes with those names, so every name must be on the lists below: stock parts that only compute,
and neither run code nor read files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from cifarlab.errors import UnsafeError
from cifarlab.saving.own_code import as_given


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


MODELS = frozenset({"Functional", "Model", "Sequential"})

# Stock layers that are missing on purpose: Lambda, TFSMLayer, TorchModuleWrapper, JaxLayer
# and FlaxLayer run code from the file; StringLookup, IntegerLookup and TextVectorization
# read files that the description names; Hashing and HashedCrossing need TensorFlow; Layer
# and Wrapper are bases that compute nothing.
LAYERS = _names(
    """
    Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention AugMix
    AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D
    AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D
    BatchNormalization Bidirectional CategoryEncoding CenterCrop Concatenate
    ContrastLimitedAdaptiveHistogramEqualization
    Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose
    ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D Cropping3D CutMix
    Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout
    ELU EinsumDense Embedding Equalization Flatten
    GRU GRUCell GaussianDropout GaussianNoise
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
    GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
    GroupNormalization GroupQueryAttention Identity InputLayer
    LSTM LSTMCell LayerNormalization LeakyReLU
    Masking MaxNumBoundingBoxes MaxPooling1D MaxPooling2D MaxPooling3D Maximum
    MelSpectrogram Minimum MixUp MultiHeadAttention Multiply
    Normalization PReLU Permute Pipeline RMSNormalization RNN
    RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast
    RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur
    RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization
    RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom
    ReLU RepeatVector Rescaling Reshape Resizing ReversibleEmbedding
    STFTSpectrogram SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax
    Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization
    StackedRNNCells Subtract TimeDistributed UnitNormalization
    UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """
)

INITIALIZERS = _names(
    """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer
    LecunNormal LecunUniform Ones Orthogonal OrthogonalInitializer RandomNormal
    RandomUniform STFT STFTInitializer TruncatedNormal VarianceScaling Zeros
    """
)
REGULARIZERS = frozenset({"L1", "L1L2", "L2", "OrthogonalRegularizer"})
CONSTRAINTS = frozenset({"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"})
POLICIES = _names(
    """
    DTypePolicy DTypePolicyMap FloatDTypePolicy Int4DTypePolicy QuantizedDTypePolicy
    QuantizedFloat8DTypePolicy
    """
)
QUANTIZERS = _names(
    """
    AbsMaxQuantizer Float8QuantizationConfig Int4QuantizationConfig Int8QuantizationConfig
    """
)
ACTIVATIONS = _names(
    """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh
    leaky_relu linear log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink
    softmax softplus softsign sparse_plus sparse_sigmoid sparsemax squareplus swish tanh
    tanh_shrink threshold
    """
)

# Operations in descriptions of ``x + y`` or ``keras.ops.mean(x)`` between layers.
ARRAY_OPERATIONS = _names(
    """
    Abs Absolute Add Amax Amin Argmax Argmin Average BroadcastTo Ceil Clip Concatenate Cos
    Divide Dot Einsum Equal Exp ExpandDims Flip Floor GetItem Greater GreaterEqual Less
    LessEqual Log Log1p LogicalAnd LogicalNot LogicalOr Logaddexp Matmul Max Maximum Mean
    Min Minimum Moveaxis Multiply Negative NotEqual OnesLike Pad Power Prod Ravel
    Reciprocal Repeat Reshape Roll Round Sign Sin Split Sqrt Square Squeeze Stack Std
    Subtract Sum Swapaxes Take Tanh Tile Transpose TrueDivide Var Where ZerosLike
    """
)
NETWORK_OPERATIONS = _names(
    """
    AdaptiveAveragePool AdaptiveMaxPool AveragePool BatchNorm Celu Conv ConvTranspose
    DepthToSpace DepthwiseConv DotProductAttention Elu Gelu Glu HardShrink HardSigmoid
    HardSilu HardTanh LayerNorm LeakyRelu LogSigmoid LogSoftmax MaxPool Normalize OneHot
    RMSNorm Relu Relu6 Selu SeparableConv Sigmoid Silu SoftShrink Softmax Softplus Softsign
    SpaceToDepth SparsePlus Sparsemax Squareplus TanhShrink Threshold
    """
)

# The modules that Keras writes for each part; the same name in another module is refused.
ALLOWED = {
    "keras": MODELS | POLICIES,
    "keras.models": MODELS,
    "keras.src.models.functional": frozenset({"Functional"}),
    "keras.src.models.sequential": frozenset({"Sequential"}),
    "keras.layers": LAYERS,
    "keras.initializers": INITIALIZERS,
    "keras.regularizers": REGULARIZERS,
    "keras.constraints": CONSTRAINTS,
    "keras.dtype_policies": POLICIES,
    "keras.quantizers": QUANTIZERS,
    "keras.random": frozenset({"SeedGenerator"}),
    "keras.src.ops.numpy": ARRAY_OPERATIONS,
    "keras.src.ops.nn": NETWORK_OPERATIONS,
    "keras.src.ops.core": frozenset({"Cast", "Slice", "StopGradient", "Unstack"}),
    "keras.src.ops.math": frozenset({"Erf", "Logsumexp", "Rsqrt"}),
    # The only two layers that networks of ``keras.applications`` have of their own.
    "keras.src.applications.convnext": frozenset({"LayerScale"}),
    "keras.src.applications.inception_resnet_v2": frozenset({"CustomScaleLayer"}),
}
# Keras's own layers that run code from the file; the older form names no module.
NEVER = _names(
    "Lambda TFOpLambda SlicingOpLambda TFSMLayer TorchModuleWrapper JaxLayer FlaxLayer "
    "StringLookup IntegerLookup TextVectorization Hashing HashedCrossing"
)
OPERATIONS = frozenset({"TFOpLambda", "SlicingOpLambda"})
# Descriptions in the older ``.h5`` form leave the module out.
WITHOUT_MODULE = MODELS | LAYERS | INITIALIZERS | REGULARIZERS | CONSTRAINTS | POLICIES
WITHOUT_MODULE |= ARRAY_OPERATIONS | NETWORK_OPERATIONS

FUNCTION_MODULES = frozenset(
    {None, "builtins", "keras.activations", "keras.src.activations.activations"}
)
PLAIN_DATA = frozenset({"__keras_tensor__", "__ellipsis__", "__bytes__", "__slice__"})
ARRAY_DATA = frozenset({"__tensor__", "__numpy__"})

MAX_DEPTH = 100
MAX_INTEGER = 2**31 - 1
MAX_INPUT_VALUES = 2**22


def checked_config(config: object, where: str, own: Mapping[str, Any] | None = None) -> object:
    """Return ``config`` without its training part after checking everything that it names.

    Args:
        config: parsed JSON that describes a model.
        where: the name of the file in messages.
        own: code of the user's that may be named too, as ``own_code.scope_of`` returns it.

    Raises:
        UnsafeError: it names anything but a stock part that only computes, or a number
            so large that building the model would exhaust memory or time.
    """
    return _checked(config, where, own or {}, 0)


def _checked(value: object, where: str, own: Mapping[str, Any], depth: int) -> object:
    if depth > MAX_DEPTH:
        raise _refused(where, f"a description nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        if "class_name" in value:
            given = as_given(value, own) if own else None
            if given is None:
                _check_part(value, where)
            value = given or value
        # Losses, optimizers and metrics are not needed to predict, so they are never built.
        kept = {key: item for key, item in value.items() if key != "compile_config"}
        return {
            key: item if _is_label(key, item) else _checked(item, where, own, depth + 1)
            for key, item in kept.items()
        }
    if isinstance(value, list):
        return [_checked(item, where, own, depth + 1) for item in value]
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise _refused(where, f"the number {value}, above {MAX_INTEGER:,}")
    return value


def _is_label(key: str, value: object) -> bool:
    # These may be large numbers, as nothing is ever built of their size.
    return key in ("seed", "shared_object_id") and isinstance(value, int)


def _check_part(part: dict[str, object], where: str) -> None:
    name, module, config = part["class_name"], part.get("module"), part.get("config")
    if not isinstance(name, str) or not (module is None or isinstance(module, str)):
        raise _refused(where, "a part whose class name is not a string")
    if part.get("registered_name") not in (None, name, config):
        raise _not_named(where, f"{part['registered_name']}, a registered custom object", name)
    if name in PLAIN_DATA:
        return
    if name in ARRAY_DATA:
        _check_array(config, where)
        return
    if name == "function":
        stock = isinstance(config, str) and config in ACTIVATIONS
        if module not in FUNCTION_MODULES or not stock:
            raise _not_named(where, f"{config}, a function that is not a stock activation", config)
        return
    allowed = WITHOUT_MODULE if module is None else ALLOWED.get(module, frozenset())
    if name not in allowed:
        full_name = f"{name} of {module}" if module else name
        what = f"{full_name} is not a stock part that only computes"
        if name in OPERATIONS:
            raise UnsafeError(
                f"{where}: refused: {name} is code of TensorFlow between the layers; write it as a "
                "layer where the model was made (x / 255 is keras.layers.Rescaling(1 / 255), "
                "preprocess_input a Rescaling or Normalization), and save it again"
            )
        if name in NEVER or str(module).split(".")[0] == "keras":
            raise _refused(where, what, "")
        raise _not_named(where, what, name)
    _check_input(config, where)


def _check_array(config: object, where: str) -> None:
    # A string type such as "S1000000000" would reserve that many bytes for each value.
    dtype = config.get("dtype") if isinstance(config, dict) else None
    if not re.fullmatch(r"bool|b?float\d{1,3}|u?int\d{1,3}", str(dtype)):
        raise _refused(where, f"an array of type {dtype}")


def _check_input(config: object, where: str) -> None:
    config = config if isinstance(config, dict) else {}
    shape = config.get("batch_shape") or config.get("batch_input_shape") or config.get("shape")
    shape = shape if isinstance(shape, list) else []
    lengths = [length for length in shape if isinstance(length, int)]
    if math.prod(max(length, 1) for length in lengths) > MAX_INPUT_VALUES:
        raise _refused(where, f"an input of shape {shape}, above {MAX_INPUT_VALUES:,} values")


def _not_named(where: str, what: str, name: object) -> UnsafeError:
    """What to say of code that is not Keras's: its author may name it from Python."""
    shown = what[:160] if what.isprintable() else repr(what[:160])
    short = str(name).rpartition(">")[2][:60]
    remedy = "use a model of stock Keras layers"
    if short.isidentifier():
        remedy += (
            ", or, if that is your own code, name it from Python: "
            f"cifarlab.Classifier.load(path, custom_objects={{{short!r}: {short}}})"
        )
    return UnsafeError(f"{where}: refused: {shown}; {remedy}")


def _refused(where: str, what: str, remedy: str = " is not allowed") -> UnsafeError:
    # The quoted text comes from the file, so it is cut and kept to one line.
    shown = what[:160] if what.isprintable() else repr(what[:160])
    return UnsafeError(f"{where}: refused: {shown}{remedy}; use a model of stock Keras layers")
