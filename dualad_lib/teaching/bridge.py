"""Between the grader and the kernel in which student code runs: what crosses is data, never code or objects.

The kernel's side (`fetch`, `call`) looks up names of the submission and calls its functions; the grader's side gets
JSON, of which `decode` makes numbers, texts, arrays, tensors, lists and dictionaries, and nothing else. So whatever
student code does in its kernel, it can hand over other values, and can't hand over a verdict.
"""

import base64
import builtins
import io
import json
import pickle

import numpy as np

MIME = "application/x-dualad+json"
LARGEST = 64 * 2**20  # characters of one answer

_held = []  # what the grader was told of and may call


class Answer:
    """JSON that Jupyter carries to the grader."""

    def __init__(self, content):
        self.text = json.dumps(content)
        if len(self.text) > LARGEST:
            self.text = json.dumps({"error": ["MemoryError"], "text": "the result is too large"})

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {MIME: self.text}


# --- in the kernel ----------------------------------------------------------------------------------------------------


def fetch(name):
    """The value of a name in the notebook, as an `Answer`."""
    from IPython import get_ipython

    names = get_ipython().user_ns
    return Answer({"value": encode(names[name])} if name in names else {"missing": name})


def call(number, arguments):
    """Call a function that was handed over; arguments: what `pack` made. Also says which arguments it changed."""
    try:
        given, before = unpack(arguments), unpack(arguments)
        value = encode(_held[number](*given))
        changed = {
            str(place): encode(now)
            for place, (now, was) in enumerate(zip(given, before, strict=True))
            if isinstance(now, list | np.ndarray) or _is_tensor(now)
            if json.dumps(encode(now)) != json.dumps(encode(was))
        }
        return Answer({"value": value, "changed": changed})
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        return Answer({"error": kinds, "text": str(error)})


def unpack(arguments):
    """What `pack` was given. Only for arguments that the grader packed."""
    return pickle.loads(base64.b64decode(arguments))


def encode(value):
    """A value as JSON's lists and texts; what is no data is named by its type, what can be called by a number."""
    if value is None or isinstance(value, bool):
        return value
    if value is ...:
        return ["..."]
    if isinstance(value, np.ndarray | np.generic):
        return _encode_array("array" if isinstance(value, np.ndarray) else "scalar", value)
    if isinstance(value, int):
        return ["int", str(int(value))]
    if isinstance(value, float):
        return ["float", float(value).hex()]
    if isinstance(value, str):
        return ["text", str.__str__(value)]
    if isinstance(value, list | tuple):
        return ["list" if isinstance(value, list) else "tuple", [encode(v) for v in value]]
    if isinstance(value, dict):
        return ["dict", [[encode(k), encode(v)] for k, v in value.items()]]
    if _is_tensor(value):
        plain = value.detach().cpu()
        plain = plain.to_dense() if plain.is_sparse else plain
        return _encode_array("tensor", (plain if plain.dtype in _exact() else plain.float()).numpy())
    if callable(value):
        _held.append(value)
        return ["function", len(_held) - 1]
    try:
        return _encode_array("array", np.asarray(value, dtype=float))  # a Series, a Fraction, a range
    except (TypeError, ValueError):
        return ["other", type(value).__name__]


def _encode_array(kind, value):
    value = np.asarray(value)
    if value.dtype.kind not in "biufcU":
        return ["list", [encode(one) for one in value.tolist()]] if value.ndim else encode(value.tolist())
    file = io.BytesIO()
    np.save(file, value, allow_pickle=False)
    return [kind, base64.b64encode(file.getvalue()).decode()]


def _is_tensor(value):
    import torch

    return isinstance(value, torch.Tensor)


def _exact():
    """Number types that numpy has as well."""
    import torch

    whole = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)
    return (*whole, torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128)


# --- in the grader ----------------------------------------------------------------------------------------------------


def pack(arguments):
    """Arguments of a check for `call`: arrays, tensors, and functions that a check defines on the spot."""
    import cloudpickle

    return base64.b64encode(cloudpickle.dumps(arguments)).decode()


def decode(content, function):
    """The value that `encode` was given. function(number): what stands for something that can be called.

    Raises ValueError, TypeError or RecursionError for what `encode` does not write.
    """
    if content is None or isinstance(content, bool):
        return content
    if content == ["..."]:
        return ...
    kind, value = content
    if kind in ("array", "scalar", "tensor"):
        return _decode_array(kind, value)
    if kind in ("list", "tuple"):
        return (list if kind == "list" else tuple)(decode(one, function) for one in value)
    simple = {"int": int, "float": float.fromhex, "text": str, "function": function, "other": _other}
    if kind == "dict":
        return {decode(k, function): decode(v, function) for k, v in value}
    if kind not in simple:
        raise ValueError(f"the kernel sent a value of kind {kind!r}")
    return simple[kind](value)


def _decode_array(kind, text):
    array = np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False)
    if kind == "tensor":
        import torch

        return torch.from_numpy(np.array(array, order="C"))
    return array if kind == "array" else array[()]


def _other(name):
    """Something that is no data and that nothing can be done with, under its type's name."""
    return type(str(name), (), {})()


def raised(kinds, text):
    """An exception like the one in the kernel: a subclass of the first built-in one among its kinds."""
    known = (getattr(builtins, str(kind), None) for kind in kinds)
    known = (one for one in known if isinstance(one, type) and issubclass(one, Exception))
    return type(str(kinds[0]), (_Told, next(known, Exception)), {})(text)


class _Told(Exception):
    """Says its text as it was said, also where the built-in kind (KeyError) would quote it."""

    def __init__(self, text):
        super().__init__()
        self.text = str(text)

    def __str__(self):
        return self.text
