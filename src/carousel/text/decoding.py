"""Bytes of files into text: packed files, encodings, line breaks."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import unicodedata
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from carousel.errors import SettingsError, TextError

CHUNK = 2**20
"""Bytes read at a time."""
SAMPLE = 2**16
"""Bytes by which a file's encoding is guessed."""
UTF_8 = "utf-8"
BYTE_ORDER_MARKS = (
    # UTF-32's mark begins as UTF-16's does.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
PACKED = {
    ".gz": b"\x1f\x8b",
    ".bz2": b"BZh",
    ".xz": b"\xfd7zXZ\0",
    ".zst": b"\x28\xb5\x2f\xfd",
    ".zip": b"PK\x03\x04",
}
"""How packed files are named, and how they begin."""
LIKELY = ("utf-16-le", "utf-16-be", "cp1252", "cp1251", "koi8-r", "shift_jis", "euc-kr", "gb18030")
"""Encodings that are guessed, in this order where several are as likely."""


def check_encoding(encoding: str) -> None:
    """Check that there is an encoding of that name.

    Raises:
        SettingsError: there is none, or it is not one of text.
    """
    try:
        # Some codecs turn bytes into bytes, or text into text.
        known = isinstance("".encode(encoding), bytes) and codecs.lookup(encoding).name != "idna"
    except (LookupError, ValueError, UnicodeError):
        known = False
    if not known:
        raise SettingsError(f"{encoding!r} is not an encoding of text, such as cp1252 or utf-16")


def decode_file(path: Path, name: str, encoding: str, errors: str) -> Iterator[tuple[str, int]]:
    r"""The text of a file as it comes, each part with how many bytes on disk have been read.

    Line breaks are "\n", and a byte-order mark at the beginning is dropped.

    Args:
        path: the file; it is unpacked if it is packed.
        name: what an error calls it.
        encoding: the encoding's name. UTF-16 and UTF-32 are known by their marks, too.
        errors: ``strict``, or ``replace`` for U+FFFD where bytes can't be read.

    Raises:
        TextError: the file can't be read, unpacked or decoded.
    """
    try:
        with path.open("rb") as raw:
            for stream in _unpack(raw, path, name):
                for text in decode_stream(stream, name, encoding, errors):
                    yield text, raw.tell()
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise TextError(f"{name} is not a whole {_packing(path)} file: {error}") from None
    except OSError as error:
        # bz2 has no error of its own.
        if error.errno is None and _packing(path) == ".bz2":
            raise TextError(f"{name} is not a whole .bz2 file: {error}") from None
        raise TextError(f"{name} can't be read: {error.strerror or error}") from None


@contextmanager
def open_unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked; of a .zip file the first one that is in it."""
    with path.open("rb") as raw, closing(_unpack(raw, path, str(path))) as streams:
        yield next(streams, io.BytesIO())


def _packing(path: Path) -> str | None:
    """The suffix of the way in which a file is packed: by its name, else by its beginning."""
    suffix = path.suffix.lower()
    if suffix in PACKED:
        return suffix
    with path.open("rb") as file:
        start = file.read(10)
    if start.startswith(b"BZh") and start[4:] != b"1AY&SY":  # a text may begin so
        return None
    return next((name for name, magic in PACKED.items() if start.startswith(magic)), None)


def _unpack(raw: IO[bytes], path: Path, name: str) -> Generator[IO[bytes], None, None]:
    """The streams that are in a file: one, or those of a .zip file."""
    packing = _packing(path)
    if packing == ".zip":
        with zipfile.ZipFile(raw) as archive:
            for entry in archive.infolist():
                if entry.flag_bits & 1:
                    raise TextError(f"{name}: {entry.filename!r} is encrypted")
                if not entry.is_dir():
                    with archive.open(entry) as member:
                        yield member
        return
    if packing == ".gz":
        stream: IO[bytes] = gzip.open(raw)  # type: ignore[assignment] # noqa: SIM115
    elif packing == ".bz2":
        stream = bz2.open(raw)  # noqa: SIM115
    elif packing == ".xz":
        stream = lzma.open(raw)  # noqa: SIM115
    elif packing == ".zst":
        if find_spec("zstandard") is None:
            raise TextError(f"{name} is packed by zstd: unpack it, or pip install zstandard")
        import zstandard

        stream = zstandard.open(raw, "rb", closefd=False)
    else:
        stream = raw
    yield stream


def decode_stream(stream: IO[bytes], name: str, encoding: str, errors: str) -> Iterator[str]:
    """The text of a stream as it comes; the arguments, and what is raised, as ``decode_file``."""
    chunk = stream.read(CHUNK)
    while 0 < len(chunk) < 4 and (more := stream.read(4 - len(chunk))):
        chunk += more
    sample = chunk[:SAMPLE]
    if codecs.lookup(encoding).name == UTF_8:
        marked = (known for mark, known in BYTE_ORDER_MARKS if chunk.startswith(mark))
        encoding = next(marked, "utf-8-sig")
    try:
        decoder = codecs.getincrementaldecoder(encoding)(errors)
    except (LookupError, TypeError):
        raise SettingsError(f"the encoding {encoding} can't be read as a stream") from None
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    offset = 0
    while True:
        waiting = decoder.getstate()[0]
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            # Some decoders have other errors' texts, but all know the place.
            raise TextError(
                f"{name} is not {encoding.upper().removesuffix('-SIG')} text: byte "
                f"{offset - len(waiting) + error.start} can't be read; {_advice(sample)}"
            ) from None
        if "\0" in text:
            if errors == "strict":
                raise TextError(_nul_message(name, chunk, offset, sample))
            text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
        offset += len(chunk)
        yield newlines.decode(text, final=not chunk)
        if not chunk:
            return
        chunk = stream.read(CHUNK)


def _nul_message(name: str, chunk: bytes, offset: int, sample: bytes) -> str:
    place = offset + max(chunk.find(b"\0"), 0)
    return f"{name} is not a text file: byte {place} is 0; {_advice(sample)}"


def _advice(sample: bytes) -> str:
    likely = guess_encoding(sample)
    named = f"it looks like {likely}: use --encoding {likely}" if likely else "convert it"
    return f"{named}, or use --encoding-errors replace"


def guess_encoding(sample: bytes) -> str | None:
    """The likeliest encoding of a text that is not UTF-8, or None where nothing looks like text.

    >>> guess_encoding("ein schöner Tag für größere Bäume".encode("cp1252"))
    'cp1252'
    """
    scores = {encoding: _plausibility(sample, encoding) for encoding in LIKELY}
    likeliest = max(scores, key=scores.__getitem__)
    return likeliest if scores[likeliest] > 0.5 else None


def _plausibility(sample: bytes, encoding: str) -> float:
    """From 0 to 1: how far a text decoded so looks like one."""
    wide = encoding.startswith("utf-16")
    zeros = sample.count(0)
    if wide != (zeros > len(sample) // 5):
        return 0.0
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return 0.0
    if any(unicodedata.category(c) in ("Cc", "Cn", "Co") and c not in "\t\n\r\f" for c in text):
        return 0.0
    foreign = [c for c in text if c > "\x7f"]
    if wide:
        return 1.0 if text.isprintable() or "\n" in text else 0.0
    if not foreign or (len(foreign) > 3 and len(set(foreign)) == 1):
        return 0.0
    scripts = [unicodedata.name(c, "?").split(" ")[0] for c in foreign if c.isalpha()]
    if not scripts:
        return 0.6  # signs only, such as quotation marks
    expected = {
        "cp1252": {"LATIN"},
        "cp1251": {"CYRILLIC"},
        "koi8-r": {"CYRILLIC"},
        "shift_jis": {"HIRAGANA"},
        "euc-kr": {"HANGUL"},
        "gb18030": {"CJK"},
    }[encoding]
    right = sum(script in expected for script in scripts) / len(foreign)
    ascii_letters = sum(c.isascii() and c.isalpha() for c in text)
    if encoding == "cp1252":
        # Accents are rare among Latin letters.
        return right * (0.9 if len(scripts) <= ascii_letters else 0.1)
    if expected == {"CYRILLIC"}:
        # The two swap lower and upper case; a Latin word with one Cyrillic letter is none.
        words = [word for word in text.split() if any(c > "\x7f" and c.isalpha() for c in word)]
        mixed = sum(any(c.isascii() and c.isalpha() for c in word) for word in words)
        swapped = sum(word[:1].islower() and word[1:].isupper() for word in words)
        upper = sum(c.isupper() for c in foreign) / len(foreign)
        return right * (1 - (mixed + swapped) / len(words)) * (0.4 if upper > 0.5 else 1.0)
    if encoding == "shift_jis":
        # Japanese is full of hiragana; other languages' bytes hardly ever are.
        return min(1.0, 5 * scripts.count("HIRAGANA") / len(foreign))
    # A lone sign between Latin letters is an accent of another encoding.
    near = zip(f" {text}", text, f"{text[1:]} ", strict=False)
    lone = sum(c > "\x7f" and (before + after).isascii() for before, c, after in near)
    right *= 1 - lone / len(foreign)
    # Half-width katakana is what other languages' bytes become.
    half = sum("\uff61" <= c <= "\uff9f" for c in foreign) / len(foreign)
    if half > 0.3 or ascii_letters > len(foreign):
        return 0.0  # two bytes of a Latin word may be one Chinese character
    return right * 0.95
