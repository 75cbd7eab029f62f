"""The library for C as its users call it, with NumPy arrays for its buffers."""

import ctypes
from contextlib import contextmanager

import numpy as np

STATUSES = (
    "OK",
    "INVALID_ARGUMENT",
    "INVALID_MODEL",
    "UNSUPPORTED",
    "OUT_OF_MEMORY",
    "NOT_FINITE",
    "INTERNAL_ERROR",
)


class CError(Exception):
    """A status other than OK, by its name, and the text of the last error."""

    def __init__(self, status, message):
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


def pointer(array):
    return None if array is None else ctypes.c_void_p(array.ctypes.data)


class CModel:
    """A model that the library has opened."""

    def __init__(self, library, handle):
        self.library, self.handle = library, handle
        self.state_size = library.carousel_state_size(handle)
        self.vocab_size = library.carousel_vocab_size(handle)

    def call(self, name, *arguments):
        status = getattr(self.library, f"carousel_{name}")(self.handle, *arguments)
        if status:
            raise CError(STATUSES[status], self.library.carousel_last_error().decode("ascii"))

    def initial_state(self):
        return np.zeros(self.state_size, np.float32)

    def state_arguments(self, state):
        return pointer(state), ctypes.c_size_t(len(state))

    def step(self, tokens, state):
        tokens = np.asarray(tokens, np.int64)
        size = ctypes.c_size_t(len(tokens))
        self.call("step", pointer(tokens), size, *self.state_arguments(state))

    def top_k(self, state, k):
        ids, log_probs = np.empty(max(k, 1), np.int64), np.empty(max(k, 1), np.float32)
        count = ctypes.c_size_t(k)
        arguments = self.state_arguments(state)
        self.call("top_k", *arguments, count, pointer(ids), pointer(log_probs))
        return ids, log_probs

    def next_words(self, state, k, prefix=None):
        ids, probabilities = np.empty(k, np.int64), np.empty(k, np.float32)
        count = ctypes.c_size_t()
        prefix = None if prefix is None else prefix.encode()
        self.call(
            "next_words",
            *self.state_arguments(state),
            prefix,
            ctypes.c_size_t(k),
            pointer(ids),
            pointer(probabilities),
            ctypes.byref(count),
        )
        words = [self.token(id) for id in ids[: count.value]]
        return list(zip(words, probabilities[: count.value].tolist(), strict=True))

    def log_prob(self, state, token):
        log_prob = ctypes.c_float()
        arguments = self.state_arguments(state)
        self.call("log_prob", *arguments, ctypes.c_int64(token), ctypes.byref(log_prob))
        return log_prob.value

    def score(self, tokens, state):
        tokens = np.asarray(tokens, np.int64)
        log_probs = np.empty(len(tokens), np.float32)
        size = ctypes.c_size_t(len(tokens))
        arguments = self.state_arguments(state)
        self.call("score", pointer(tokens), size, *arguments, pointer(log_probs))
        return log_probs

    def encode(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        count = ctypes.c_size_t()
        ids = np.empty(len(data) + 1, np.int64)
        capacity = ctypes.c_size_t(len(ids))
        self.call("encode", data, pointer(ids), capacity, ctypes.byref(count))
        return ids[: count.value].tolist()

    def token(self, id):
        text, length = ctypes.c_void_p(), ctypes.c_size_t()
        self.call("token", ctypes.c_int64(id), ctypes.byref(text), ctypes.byref(length))
        assert ctypes.string_at(text.value + length.value, 1) == b"\0"
        return ctypes.string_at(text.value, length.value).decode()


@contextmanager
def opened(library, folder):
    """The model in a folder; closed at the end."""
    handle = ctypes.c_void_p()
    status = library.carousel_open(str(folder).encode(), ctypes.byref(handle))
    if status:
        assert handle.value is None
        raise CError(STATUSES[status], library.carousel_last_error().decode("ascii"))
    try:
        yield CModel(library, handle)
    finally:
        library.carousel_close(handle)
