"""Mappers and reducers for sheaf as Python functions. Python 3.8 or newer, standard library only.

    import re
    import sheaf_worker

    def count_words(line):
        for word in re.findall(r"\\w+", line):
            yield word, 1

    def total(word, counts):
        yield word, sum(counts)

    sheaf_worker.main(map=count_words, combine=total, reduce=total)

The program then serves all of sheaf's ways to run programs of other languages:

    python3 words.py map | combine | reduce             what exec() and `sheaf stream` start
    python3 words.py worker --driver URL --token-file FILE   a worker of `sheaf run --listen --intermediate`

docs/python.md has the whole of it.
"""
import argparse
import bz2
import gzip
import heapq
import http.client
import io
import itertools
import json
import lzma
import os
import random
import signal
import struct
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request
import zlib
from operator import itemgetter
from typing import (
    Any,
    BinaryIO,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    NoReturn,
    Optional,
    Tuple,
)

__all__ = ["WorkerError", "count", "main", "status"]

Pair = Tuple[bytes, bytes]
Mapper = Callable[[Any], Optional[Iterable[Tuple[Any, Any]]]]
Reducer = Callable[[Any, Iterator[Any]], Optional[Iterable[Tuple[Any, Any]]]]

CHUNK_BYTES = 1 << 18
# As sheaf's own bounds of a record (src/base/limits.ts), with room for a reducer's larger values.
RECORD_BYTES_MAX = 1 << 28
COUNTERS_MAX = 1_000
NAME_CHARS_MAX = 200
ANSWER_BYTES_MAX = 32 << 20
MESSAGE_CHARS_MAX = 10_000
BUCKETS_MAX = 10_000
# What a worker keeps of its pairs before it writes a sorted run.
SORT_BYTES = 64 << 20
HEARTBEAT_SECONDS = 2.0
# A function that has not come back for this long is no longer reported as being at work.
HANG_SECONDS = 600.0
RETRY_SECONDS = 30.0


class WorkerError(Exception):
    """Something is wrong with what was given, by the engine or by the program; the message says what."""


# --- counters, status, and what is printed --------------------------------------------------------------

_counters: Dict[str, int] = {}


def count(name: str, by: int = 1) -> None:
    """Adds `by` (a whole number) to a counter, which `sheaf show` and the end of the run tell.

    Raises WorkerError for a name that cannot be told: not 1 to 200 characters, or with a comma or line end.
    """
    if type(by) is not int:
        raise WorkerError("count(%r): adds whole numbers, not %r" % (name, by))
    if name not in _counters:
        if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARS_MAX:
            said = "a counter's name has 1 to %d characters, not %.50r" % (NAME_CHARS_MAX, name)
            raise WorkerError("count(): " + said)
        if any(mark in name for mark in ",\n\r"):
            raise WorkerError("count(%r): a counter's name has no comma and no line end" % name)
        if len(_counters) == COUNTERS_MAX:
            raise WorkerError("count(%r): there are %d counters already" % (name, COUNTERS_MAX))
    _counters[name] = _counters.get(name, 0) + by


def status(text: str) -> None:
    """Says what the task is at, for people. It also shows that the task is alive."""
    _report("reporter:status:" + " ".join(str(text).split()))


def _tell_counters() -> None:
    for name, by in _counters.items():
        _report("reporter:counter:%s,%s,%d" % (COUNTER_GROUP, name, by))
    _counters.clear()


COUNTER_GROUP = "sheaf"


class _Printed(io.TextIOBase):
    """Standard error, for print() too. Knows whether a line is half written, so that reports begin lines."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__()
        self._raw = raw
        self._lock = threading.RLock()
        self._at_start = True

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def buffer(self) -> BinaryIO:
        return self._raw

    def write(self, text: str) -> int:
        if text:
            with self._lock:
                self._raw.write(text.encode("utf-8", "backslashreplace"))
                self._raw.flush()
                self._at_start = text.endswith("\n")
        return len(text)

    def line(self, text: str) -> None:
        with self._lock:
            self.write(text + "\n" if self._at_start else "\n" + text + "\n")


def _report(line: str) -> None:
    printed = sys.stderr
    if isinstance(printed, _Printed):
        printed.line(line)
    else:
        print(line, file=printed, flush=True)


def _take_streams() -> Tuple[BinaryIO, BinaryIO]:
    """Gives standard input and output to the protocol alone.

    print(), libraries and child processes write to standard error instead, and have an empty standard input.
    """
    sys.stdout.flush()
    given = os.fdopen(os.dup(0), "rb", buffering=0)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stderr = _Printed(os.fdopen(os.dup(2), "wb", buffering=0))  # type: ignore[assignment]
    return given, out


# --- values as bytes ------------------------------------------------------------------------------------

class Codec(NamedTuple):
    """How keys, values or records are written in bytes."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def _encode_text(value: Any) -> bytes:
    if type(value) is not str:
        raise WorkerError('"text" holds str, not %s: %s' % (type(value).__name__, _shown(value)))
    try:
        # Bytes that are no UTF-8 come in as lone surrogates and go out as they came.
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise WorkerError("this cannot be written as UTF-8 (%s): %s" % (error, _shown(value))) from None


def _decode_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


_json_encoder = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
).encode


def _encode_json(value: Any) -> bytes:
    if type(value) is int:
        return b"%d" % value
    if isinstance(value, (dict, list, tuple)):
        _check_names(value)
    try:
        return _json_encoder(value).encode("utf-8", "surrogateescape")
    except (TypeError, ValueError, RecursionError) as error:
        raise WorkerError("JSON cannot hold %s: %s" % (_shown(value), error)) from None


def _check_names(value: Any) -> None:
    """JSON would turn the names 1, True and None into other ones without a word."""
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise WorkerError("JSON names are str, not %r, in %s" % (name, _shown(value)))
        value = value.values()
    for item in value:
        if isinstance(item, (dict, list, tuple)):
            _check_names(item)


def _no_number(name: str) -> NoReturn:
    raise ValueError("%s is no number of JSON" % name)


_json_decoder = json.JSONDecoder(parse_constant=_no_number).decode


def _decode_json(data: bytes) -> Any:
    try:
        return _json_decoder(data.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise WorkerError("this is no JSON (%s): %s" % (error, _shown(data))) from None


def _keep_bytes(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise WorkerError('"bytes" holds bytes, not %s: %s' % (type(value).__name__, _shown(value)))
    return bytes(value)


CODECS = {
    "text": Codec(_encode_text, _decode_text),
    "json": Codec(_encode_json, _decode_json),
    "bytes": Codec(_keep_bytes, bytes),
}


def _remembering(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """As `decode`, which small values of few kinds (1, 1, 1 ...) need not come to twice."""
    known: Dict[bytes, Any] = {}

    def remembered(data: bytes) -> Any:
        try:
            return known[data]
        except KeyError:
            value = decode(data)
            if len(data) <= 16 and len(known) < 4096 and not isinstance(value, (list, dict)):
                known[data] = value
            return value

    return remembered


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "... (%d characters)" % len(text)


# --- the program's functions ----------------------------------------------------------------------------

class _Values:
    """The values of one key: an iterator that cannot be gone through twice without a word."""

    def __init__(self, values: Iterator[Any]) -> None:
        self._values = values
        self._begun = False

    def __iter__(self) -> Iterator[Any]:
        if self._begun:
            raise WorkerError("the values of a key can be gone through once: keep them with list(values)")
        self._begun = True
        return self._values

    def __next__(self) -> Any:
        return next(self._values)


class _Job:
    """The functions and how their data are written; `kind`, `index` and `at` say where they are."""

    def __init__(
        self,
        functions: Dict[str, Optional[Callable[..., Any]]],
        records: str,
        keys: str,
        values: str,
    ) -> None:
        for name, codec in (("records", records), ("keys", keys), ("values", values)):
            if codec not in CODECS:
                raise WorkerError("main(%s=%r): it is one of %s" % (name, codec, ", ".join(CODECS)))
        for name, function in functions.items():
            if function is not None and not callable(function):
                raise WorkerError("main(%s=%r): it is a function" % (name, function))
        self.functions = functions
        self.records, self.keys, self.values = CODECS[records], CODECS[keys], CODECS[values]
        # How the name of a collection is written, where pairs can have one.
        self.name: Optional[Callable[[str], bytes]] = None
        self.kind = ""
        self.index = 0
        self.at: Any = None

    def function(self, kind: str) -> Callable[..., Any]:
        function = self.functions[kind]
        if function is None:
            raise WorkerError("main() was given no %s function" % kind)
        return function

    def begin(self, kind: str) -> None:
        self.kind, self.index, self.at = kind, 0, None

    def map(self, lines: Iterable[bytes]) -> Iterator[Any]:
        """What the map function makes of each record: pairs, or triples with the name of a collection."""
        function = self.function("map")
        decode, keys, values = self.records.decode, self.keys.encode, self.values.encode
        self.begin("map")
        for line in lines:
            self.index += 1
            self.at = line
            result = function(decode(line))
            if result is not None:
                for pair in result:
                    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                        if self.name is None or not self._is_named(pair):
                            self.no_pair(pair)
                        yield self.name(pair[0]), keys(pair[1]), values(pair[2])
                    else:
                        yield keys(pair[0]), values(pair[1])

    @staticmethod
    def _is_named(pair: Any) -> bool:
        return isinstance(pair, (tuple, list)) and len(pair) == 3 and isinstance(pair[0], str)

    def reduce(self, pairs: Iterable[Tuple[bytes, Any]], kind: str = "reduce") -> Iterator[Pair]:
        """What the reduce or combine function makes of each stretch of equal keys."""
        function = self.function(kind)
        keys, values = self.keys, self.values
        decode = _remembering(values.decode) if values is CODECS["json"] else values.decode
        self.begin(kind)
        for key, group in itertools.groupby(pairs, itemgetter(0)):
            self.index += 1
            self.at = key
            result = function(keys.decode(key), _Values(decode(value) for _, value in group))
            if result is not None:
                for pair in result:
                    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                        self.no_pair(pair)
                    made = keys.encode(pair[0])
                    if made != key and kind == "combine":
                        raise WorkerError("combine may not change a key: it gave %s" % _shown(pair[0]))
                    yield made, values.encode(pair[1])

    def no_pair(self, pair: Any) -> NoReturn:
        raise WorkerError(
            "%s gave %s, which is no (key, value): yield pairs, or return a list of them"
            % (self.kind, _shown(pair))
        )

    def explain(self, error: BaseException) -> str:
        """The error for people: what it was at, then the traceback of the program's own lines."""
        what = {"map": "record", "reduce": "key", "combine": "key"}.get(self.kind)
        place = ""
        if what is not None and self.at is not None:
            name = getattr(self.functions[self.kind], "__name__", self.kind)
            shown = _shown(_decode_text(self.at))
            place = "%s (%s) failed at %s %d, %s\n" % (self.kind, name, what, self.index, shown)
        if isinstance(error, WorkerError):
            return "%ssheaf_worker: %s" % (place, error)
        return place + "".join(_own_lines(error)).rstrip()


def _own_lines(error: BaseException) -> Iterable[str]:
    told = traceback.TracebackException.from_exception(error)
    one: Optional[traceback.TracebackException] = told
    while one is not None:
        frames = [frame for frame in one.stack if frame.filename != __file__]
        one.stack = traceback.StackSummary.from_list(frames[-20:])
        one = one.__cause__ or one.__context__
    return told.format()


# --- standard input and output: exec() and `sheaf stream` -----------------------------------------------

def _lines(read: Callable[[int], bytes], bytes_max: int = RECORD_BYTES_MAX) -> Iterator[bytes]:
    """The lines of a stream without their ends; a last one without an end counts.

    Raises WorkerError for one of more than bytes_max.
    """
    pieces: List[bytes] = []
    held = 0
    while True:
        chunk = read(CHUNK_BYTES)
        if not chunk:
            break
        cut = chunk.rfind(b"\n")
        if cut >= 0:
            pieces.append(chunk[:cut])
            yield from b"".join(pieces).split(b"\n")
            pieces = []
            held = 0
            chunk = chunk[cut + 1:]
        pieces.append(chunk)
        held += len(chunk)
        if held > bytes_max:
            raise WorkerError("a line has more than %d bytes" % bytes_max)
    if held > 0:
        yield b"".join(pieces)


def _frames(read: Callable[[int], bytes], with_words: bool = False) -> Iterator[bytes]:
    """Pieces that stand after their lengths: four bytes, the highest first.

    with_words: a word of _Tasks is a piece, too, which begins with NO_LENGTH and its length.
    Raises WorkerError for one of more than RECORD_BYTES_MAX, or cut off.
    """
    held = bytearray()
    at = 0
    wanted = 4
    while True:
        while len(held) - at >= 4:
            size = int.from_bytes(held[at:at + 4], "big")
            if with_words and held.startswith(NO_LENGTH, at):
                wanted = 8 + int.from_bytes(held[at + 4:at + 8], "big")
                if len(held) - at < wanted:
                    break
                yield bytes(held[at:at + wanted])
                at += wanted
                wanted = 4
                continue
            if size > RECORD_BYTES_MAX:
                raise WorkerError("a piece has %d bytes, more than %d" % (size, RECORD_BYTES_MAX))
            wanted = 4 + size
            if len(held) - at < wanted:
                break
            yield bytes(held[at + 4:at + wanted])
            at += wanted
            wanted = 4
        del held[:at]
        at = 0
        chunk = read(max(CHUNK_BYTES, wanted - len(held)))
        if not chunk:
            break
        held += chunk
    if held:
        raise WorkerError("standard input ends within a piece: %d bytes of %d" % (len(held), wanted))


def _frame(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _in_pairs(pieces: Iterator[bytes]) -> Iterator[Pair]:
    for key in pieces:
        value = next(pieces, None)
        if value is None:
            raise WorkerError("standard input ends between a key and its value")
        yield key, value


def _split_json(line: bytes) -> Tuple[bytes, Any]:
    pair = _decode_json(line)
    if not isinstance(pair, list) or not 1 <= len(pair) <= 2:
        raise WorkerError("this is no pair [key, value]: %s" % _shown(line))
    # Keys are compared as bytes: 1, 1.0 and true are equal to Python.
    return _encode_json(pair[0]), pair[1] if len(pair) == 2 else None


def _split_line(line: bytes) -> Pair:
    key, _, value = line.partition(b"\t")
    return key, value


def _join_line(pair: Tuple[bytes, ...]) -> bytes:
    """KEY TAB VALUE and a line end, behind the name of a collection where there is one.

    Raises WorkerError for what would come back as something else.
    """
    if len(pair) == 3:
        return pair[0] + b"\t" + _join_line(pair[1:])
    key, value = pair
    if b"\t" in key or b"\n" in key or b"\n" in value:
        what = "a key with a tab or line end" if b"\n" not in value else "a value with a line end"
        raise WorkerError('%s does not fit into a line: %s; use "json"' % (what, _shown(pair)))
    return key + b"\t" + value + b"\n"


NO_LENGTH = b"\xff\xff\xff\xff"


class _Protocol(NamedTuple):
    """How pieces and pairs stand on standard input and output (ExecProtocol of src/job/exec.ts).

    with_words: pieces, of which some are words; word: such a piece, of its JSON; word_end: what ends it.
    """

    pieces: Callable[[Callable[[int], bytes]], Iterator[bytes]]
    pairs: Callable[[Iterator[bytes]], Iterator[Tuple[bytes, Any]]]
    join: Callable[[Tuple[bytes, ...]], bytes]
    with_words: Callable[[Callable[[int], bytes]], Iterator[bytes]]
    word: Callable[[bytes], bytes]
    word_end: bytes


PROTOCOLS = {
    "lines": _Protocol(_lines, lambda lines: map(_split_line, lines), _join_line, _lines, bytes, b"\n"),
    "json": _Protocol(
        _lines,
        lambda lines: map(_split_json, lines),
        lambda pair: b"[%s]\n" % b",".join(pair),
        _lines,
        lambda text: b"sheaf " + text,
        b"\n",
    ),
    "bytes": _Protocol(
        _frames,
        _in_pairs,
        lambda pair: _frame(pair[0]) + _frame(pair[1]),
        lambda read: _frames(read, True),
        lambda text: NO_LENGTH + _frame(text),
        b"",
    ),
}


def _write_all(out: BinaryIO, pairs: Iterable[bytes]) -> None:
    held: List[bytes] = []
    size = 0
    for piece in pairs:
        held.append(piece)
        size += len(piece)
        if size >= CHUNK_BYTES:
            _write(out, b"".join(held))
            held.clear()
            size = 0
    _write(out, b"".join(held))


def _write(out: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[out.write(view) or 0:]


# What tells a task from others of its job, in every run.
TASK_NAMES = ("task_ismap", "task_partition", "map_input_file", "map_input_start")


class _Tasks:
    """One task after the other, which exec() with reuse gives to one process (docs/streaming.md).

    Each is done in a copy of this process as it was when main() was called, so that what a task changes, in
    variables, modules or the environment, no other task sees; a task that fails ends this process as well.
    """

    def __init__(self, protocol: _Protocol, given: BinaryIO, out: BinaryIO) -> None:
        if not hasattr(os, "fork"):
            raise WorkerError("reuse needs a system that can fork: leave it out of exec()")
        self._protocol, self._given, self._out = protocol, given, out
        self._end = protocol.word(b'{"end":true}')
        # The module seeds itself anew in a copy.
        self._random = random.getstate()

    def _say(self, name: str, number: int) -> None:
        if name != "began":
            # Behind what belongs to the task on standard error; 0: to none.
            _report("sheaf:end:%d" % number)
        text = b'{"%s":%d}' % (name.encode(), number)
        _write(self._out, self._protocol.word(text) + self._protocol.word_end)

    def _read(self, size: int) -> bytes:
        data = self._given.read(size)
        if not data:
            raise WorkerError("standard input ends within a task")
        return data

    def _told(self) -> Optional[Dict[str, Any]]:
        """The next task; None when there are no more. What is behind it is only sent when it has begun."""
        piece = next(self._protocol.with_words(self._given.read), None)
        if piece is None:
            return None
        task = _decode_json(piece[len(self._protocol.word(b"")):])
        if not isinstance(task, dict) or not isinstance(task.get("task"), int):
            raise WorkerError("this is no task: %s" % _shown(piece))
        return task

    def next(self) -> Optional[Iterator[bytes]]:
        """In a copy of this process, the pieces of its task; here None, when there are no more tasks."""
        self._say("sheaf", 0)
        while True:
            task = self._told()
            if task is None:
                return None
            number = task["task"]
            child = os.fork()
            if child == 0:
                return self._begin(number, task)
            self._wait(child)
            self._say("done", number)

    def _begin(self, number: int, task: Dict[str, Any]) -> Iterator[bytes]:
        os.environ.update(task["env"])
        os.chdir(task["directory"])
        self._seed(task["env"])
        self._say("began", number)
        return iter(self._protocol.with_words(self._read).__next__, self._end)

    def _seed(self, env: Dict[str, str]) -> None:
        """Each task draws other numbers, and the same in each attempt where the program has set a seed."""
        task = repr([env.get("mapreduce_" + name) for name in TASK_NAMES]).encode()
        random.setstate(self._random)
        random.seed(b"%d %s" % (random.getrandbits(64), task))
        numbers: Any = sys.modules.get("numpy.random")
        if numbers is not None:
            numbers.seed([numbers.randint(1 << 31), zlib.crc32(task)])

    @staticmethod
    def _wait(child: int) -> None:
        """Until the copy has ended. Ends this process in the same way when it was not with 0."""
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            # One that is ignored all the same.
            os._exit(128 + number)
        if os.WEXITSTATUS(status) != 0:
            os._exit(os.WEXITSTATUS(status))


# --- a worker that asks for tasks: `sheaf run --listen --intermediate` (docs/protocol.md) ---------------

class _Sorter:
    """Pairs by bucket and key, equal keys in the order in which they came; sorted runs on disk when many."""

    def __init__(self, combine: Callable[[Iterator[Pair]], Iterator[Pair]]) -> None:
        self._combine = combine
        self._buckets: Dict[int, List[Pair]] = {}
        self._bytes = 0
        self._runs: List[Tuple[BinaryIO, Dict[int, Tuple[int, int]]]] = []

    def add(self, bucket: int, pair: Pair) -> None:
        self._buckets.setdefault(bucket, []).append(pair)
        self._bytes += len(pair[0]) + len(pair[1]) + 150
        if self._bytes >= SORT_BYTES:
            self._spill()

    def _held(self, bucket: int) -> Iterator[Pair]:
        pairs = self._buckets.pop(bucket, [])
        pairs.sort(key=itemgetter(0))
        return self._combine(iter(pairs))

    def _spill(self) -> None:
        run: BinaryIO = tempfile.TemporaryFile()  # type: ignore[assignment]
        places = {}
        for bucket in sorted(self._buckets):
            begin = run.tell()
            for key, value in self._held(bucket):
                run.write(struct.pack(">II", len(key), len(value)) + key + value)
            places[bucket] = (begin, run.tell())
        run.flush()
        self._runs.append((run, places))
        self._bytes = 0

    @staticmethod
    def _read(run: BinaryIO, begin: int, end: int) -> Iterator[Pair]:
        held = b""
        at = 0
        while begin < end or at < len(held):
            # Its file has other buckets, too, which are read in turn with it: each reads at its place.
            while len(held) - at < 8 or len(held) - at < 8 + sum(struct.unpack_from(">II", held, at)):
                chunk = os.pread(run.fileno(), min(CHUNK_BYTES, end - begin), begin)
                if not chunk:
                    raise WorkerError("a sorted run on disk was cut off: is the temporary directory full?")
                held, at, begin = held[at:] + chunk, 0, begin + len(chunk)
            keys, values = struct.unpack_from(">II", held, at)
            middle = at + 8 + keys
            yield held[at + 8:middle], held[middle:middle + values]
            at = middle + values

    def sorted(self, bucket: int) -> Iterator[Pair]:
        """The pairs of a bucket, once."""
        runs = [self._read(run, *places[bucket]) for run, places in self._runs if bucket in places]
        if not runs:
            return self._held(bucket)
        return self._combine(heapq.merge(*runs, self._held(bucket), key=itemgetter(0)))

    def __enter__(self) -> "_Sorter":
        return self

    def __exit__(self, *_: Any) -> None:
        for run, _places in self._runs:
            run.close()


def _bucket_of(buckets: int) -> Callable[[bytes], int]:
    """FNV-1a, 32 bits, modulo the number of buckets: the same in every language (docs/protocol.md)."""
    known: Dict[bytes, int] = {}

    def bucket(key: bytes) -> int:
        found = known.get(key)
        if found is None:
            value = 2166136261
            for byte in key:
                value = (value ^ byte) * 16777619 & 0xFFFFFFFF
            found = value % buckets
            if len(known) < 100_000:
                known[key] = found
        return found

    return bucket


def _behind_mark(file: BinaryIO, path: str) -> BinaryIO:
    """The file, decompressed if it has to be, from behind its byte order mark on."""
    try:
        head = file.read(3)
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise WorkerError("%s is UTF-16: convert it to UTF-8 first (iconv)" % path)
        file.seek(3 if head == b"\xef\xbb\xbf" else 0)
    except BaseException:
        file.close()
        raise
    return file


def _open_input(path: str) -> BinaryIO:
    """An input file as sheaf's readers open it: gzip, bzip2 and xz by content, no byte order mark."""
    file = open(path, "rb")
    head = file.read(6)
    file.seek(0)
    if head[:2] == b"\x1f\x8b":
        file.close()
        return _behind_mark(gzip.open(path), path)  # type: ignore[arg-type]
    if head[:3] == b"BZh":
        file.close()
        return _behind_mark(bz2.open(path), path)  # type: ignore[arg-type]
    if head == b"\xfd7zXZ\0":
        file.close()
        return _behind_mark(lzma.open(path), path)  # type: ignore[arg-type]
    if head[:4] == b"\x28\xb5\x2f\xfd":
        raise WorkerError("%s is zstd, which a Python worker does not read: decompress it first" % path)
    return _behind_mark(file, path)


class _Refused(WorkerError):
    """The driver does not want what it was told."""


class _Driver:
    """The calls of a worker. Every answer is bounded and checked."""

    def __init__(self, url: str, token: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise WorkerError("--driver %s: it begins with http:// or https://" % url)
        self._url = url.rstrip("/")
        self._token = token
        # Neither proxies of the environment nor other hosts are told the token.
        handlers = (urllib.request.ProxyHandler({}), _NoRedirect())
        self._open = urllib.request.build_opener(*handlers).open

    def call(self, method: str, path: str, body: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """One call, tried again for RETRY_SECONDS where the driver cannot be reached."""
        end = time.monotonic() + RETRY_SECONDS
        pause = 0.1
        while True:
            try:
                return self._once(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() + pause > end:
                    raise WorkerError("%s does not answer any more: %s" % (self._url, error)) from None
            time.sleep(pause)
            pause = min(2 * pause, 5.0)

    def _once(self, method: str, path: str, body: Optional[Dict[str, Any]]) -> Dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, method=method, data=data)
        request.add_header("authorization", "Bearer " + self._token)
        request.add_header("worker-pid", str(os.getpid()))
        if data is not None:
            request.add_header("content-type", "application/json")
        try:
            with self._open(request, timeout=60) as answer:
                return self._body(answer, path)
        except urllib.error.HTTPError as error:
            if error.code >= 500:
                raise OSError("%s %s: HTTP %d" % (method, path, error.code)) from None
            with error:
                said = self._body(error, path).get("error")
            said = said if isinstance(said, dict) else {}
            raise _Refused("the driver refused %s %s (HTTP %d): %.1000s [%.50s]" % (
                method, path, error.code, said.get("message"), said.get("code")
            )) from None

    @staticmethod
    def _body(answer: Any, path: str) -> Dict[str, Any]:
        data = answer.read(ANSWER_BYTES_MAX + 1)
        if len(data) > ANSWER_BYTES_MAX:
            raise WorkerError("the answer to %s has more than %d bytes" % (path, ANSWER_BYTES_MAX))
        try:
            body = json.loads(data)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise WorkerError("the answer to %s is no JSON object: is that a driver of sheaf?" % path)
        return body


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class _Task(NamedTuple):
    """A task as the driver hands it out."""

    type: str
    id: int
    inputs: List[str]
    output: str
    buckets: int

    @property
    def path(self) -> str:
        return "/task/%s/%d/status" % (self.type, self.id)

    @staticmethod
    def check(answer: Dict[str, Any]) -> "_Task":
        """Raises WorkerError for what is no task of the protocol."""
        task = _Task(*(answer.get(name) for name in ("type", "id", "i_path", "o_path", "n_buckets")))
        inputs = task.inputs
        if not (
            task.type in ("mapper", "reducer")
            and type(task.id) is int and task.id >= 0
            and type(task.buckets) is int and 0 < task.buckets <= BUCKETS_MAX
            and isinstance(inputs, list) and all(isinstance(path, str) and path for path in inputs)
            and isinstance(task.output, str) and os.path.isdir(task.output)
        ):
            raise WorkerError("this is no task for a worker over plain files: %s" % _shown(answer))
        return task


class _Void(Exception):
    """The task was given to another worker meanwhile."""


class _Heartbeat:
    """Reports a task as RUNNING from a thread of its own, as long as the functions come back."""

    def __init__(self, driver: _Driver, task: _Task, job: _Job) -> None:
        self._driver, self._task, self._job = driver, task, job
        self._over = threading.Event()
        self.is_void = False
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        last: Tuple[str, int] = ("", -1)
        moved = time.monotonic()
        while not self._over.wait(HEARTBEAT_SECONDS):
            now = time.monotonic()
            if (self._job.kind, self._job.index) != last:
                last, moved = (self._job.kind, self._job.index), now
            if now - moved > HANG_SECONDS:
                continue
            try:
                if not self._driver.call("POST", self._task.path, {"status": 3}).get("accepted", False):
                    self.is_void = True
            except WorkerError:
                # The report at the end of the task says what is wrong.
                continue

    def end(self) -> None:
        self._over.set()
        self._thread.join()


class _Worker:
    """Asks for tasks, does them and reports, until there are no more."""

    def __init__(self, driver: _Driver, job: _Job) -> None:
        self._driver, self._job = driver, job

    def run(self) -> int:
        """Gives the exit code: 0 when the job is done, 1 when it failed or was cancelled."""
        while True:
            answer = self._driver.call("PUT", "/task")
            state = answer.get("job_status")
            if state in (2, 3, 4):
                return 0 if state == 2 else 1
            if state != 1:
                raise WorkerError("the driver gave no job status that is known: %s" % _shown(answer))
            if answer.get("type") is None:
                after = answer.get("retry_after_ms")
                time.sleep(min(max(after, 10), 60_000) / 1000 if isinstance(after, (int, float)) else 0.25)
                continue
            self._do(_Task.check(answer))

    def _do(self, task: _Task) -> None:
        _counters.clear()
        self._job.begin("")
        beat = _Heartbeat(self._driver, task, self._job)
        try:
            if task.type == "mapper":
                self._map(task, beat)
            else:
                self._reduce(task, beat)
            report: Dict[str, Any] = {"status": 4, "counters": dict(_counters)}
        except _Void:
            return
        except Exception as error:  # pylint: disable=broad-except
            said = self._job.explain(error)
            print(said, file=sys.stderr)
            half = MESSAGE_CHARS_MAX // 2 - 10
            shown = said if len(said) <= 2 * half else said[:half] + "\n...\n" + said[-half:]
            report = {"status": 5, "message": shown}
        finally:
            beat.end()
        try:
            self._driver.call("POST", task.path, report)
        except _Refused as refused:
            print("sheaf_worker: %s" % refused, file=sys.stderr)
            self._driver.call("POST", task.path, {"status": 5, "message": str(refused)})

    def _map(self, task: _Task, beat: _Heartbeat) -> None:
        bucket = _bucket_of(task.buckets)
        with _Sorter(self._combined if self._job.functions["combine"] else lambda pairs: pairs) as sorter:
            for pair in self._job.map(self._records(task.inputs, beat)):
                sorter.add(bucket(pair[0]), pair)
            for number in range(task.buckets):
                path = os.path.join(task.output, "%05d.tsv" % number)
                self._write(path, map(_join_line, sorter.sorted(number)))

    def _combined(self, pairs: Iterator[Pair]) -> Iterator[Pair]:
        job = self._job
        # A run is sorted amid mapping, which goes on where it was.
        place = job.kind, job.index, job.at
        yield from job.reduce(pairs, "combine")
        job.kind, job.index, job.at = place

    def _reduce(self, task: _Task, beat: _Heartbeat) -> None:
        with _Sorter(lambda pairs: pairs) as sorter:
            for path in task.inputs:
                with open(path, "rb") as file:
                    for number, line in enumerate(_lines(file.read)):
                        if b"\t" not in line:
                            raise WorkerError("%s, line %d has no tab: %s" % (path, number + 1, _shown(line)))
                        if beat.is_void:
                            raise _Void
                        sorter.add(0, _split_line(line))
            pairs = sorter.sorted(0)
            if self._job.functions["reduce"] is not None:
                pairs = self._job.reduce(pairs)
            self._write(os.path.join(task.output, "part.tsv"), map(_join_line, pairs))

    @staticmethod
    def _records(paths: List[str], beat: _Heartbeat) -> Iterator[bytes]:
        for path in paths:
            with _open_input(path) as file:
                for line in _lines(file.read):
                    if beat.is_void:
                        raise _Void
                    yield line[:-1] if line.endswith(b"\r") else line

    @staticmethod
    def _write(path: str, lines: Iterable[bytes]) -> None:
        with open(path, "wb", buffering=0) as out:
            _write_all(out, lines)


# --- the door -------------------------------------------------------------------------------------------

def main(
    map: Optional[Mapper] = None,  # pylint: disable=redefined-builtin
    reduce: Optional[Reducer] = None,
    combine: Optional[Reducer] = None,
    *,
    records: str = "text",
    keys: str = "text",
    values: str = "json",
    argv: Optional[List[str]] = None,
) -> NoReturn:
    """Serves the functions in the way that the command line says, and exits: 0, or 1 after an error.

    map(record): an iterable of (key, value), or None; of (collection, key, value) in a job with collections.
    reduce(key, values): the same, for each key with all its values, in order, which can be gone through once.
    combine(key, values): as reduce, for some of a key's values, any number of times; it keeps the key.
    records, keys, values: what the functions see of bytes: "text" (str), "json" (what JSON holds) or "bytes".
    argv: the command line, default sys.argv[1:].
    """
    given, out = _take_streams()
    code = 1
    job: Optional[_Job] = None
    try:
        job = _Job({"map": map, "reduce": reduce, "combine": combine}, records, keys, values)
        code = _serve(job, argv, given, out)
    except SystemExit as exit_:
        raise exit_
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # Nobody reads on: whoever started this program has ended, or says why itself.
        pass
    except Exception as error:  # pylint: disable=broad-except
        said = "sheaf_worker: %s" % error if job is None else job.explain(error)
        print(said, file=sys.stderr)
    sys.exit(code)


def _serve(job: _Job, argv: Optional[List[str]], given: BinaryIO, out: BinaryIO) -> int:
    parser = argparse.ArgumentParser(description="Serves functions of this program to sheaf.")
    modes = parser.add_subparsers(dest="mode", required=True)
    for kind in ("map", "combine", "reduce"):
        mode = modes.add_parser(kind, help="%s what comes on standard input" % kind)
        mode.add_argument("--protocol", choices=PROTOCOLS, default="lines", help="as exec() was told")
    worker = modes.add_parser("worker", help="do tasks of `sheaf run --listen PORT --intermediate DIR`")
    worker.add_argument("--driver", required=True, metavar="URL", help="as the run prints it")
    worker.add_argument("--token-file", required=True, metavar="FILE", help="as the run prints it")
    asked = parser.parse_args(argv)
    if asked.mode == "worker":
        try:
            with open(asked.token_file, encoding="utf-8") as file:
                token = file.read(1000).strip()
        except (OSError, ValueError) as error:
            raise WorkerError("--token-file %s cannot be read: %s" % (asked.token_file, error)) from None
        return _Worker(_Driver(asked.driver, token), job).run()
    protocol = PROTOCOLS[asked.protocol]
    if asked.protocol == "json":
        # The pairs are JSON already, whatever main() says of lines.
        job.records = job.keys = CODECS["json"]
        job.values = Codec(_encode_json, lambda value: value)
    if os.environ.get("SHEAF_TASKS") == "many":
        begun = _Tasks(protocol, given, out).next()
        if begun is None:
            return 0
        pieces = begun
    else:
        pieces = protocol.pieces(given.read)
    if "SHEAF_COLLECTIONS" in os.environ:
        job.name = _encode_json if asked.protocol == "json" else _encode_text
    made = job.map(pieces) if asked.mode == "map" else job.reduce(protocol.pairs(pieces), asked.mode)
    _write_all(out, map(protocol.join, made))
    _tell_counters()
    return 0
