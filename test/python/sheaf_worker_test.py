"""Tests of python/sheaf_worker.py, run by worker.test.ts. Random cases that fail name their seeds."""
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest

import sheaf_worker as sw

HERE = os.path.dirname(os.path.abspath(sw.__file__))


def job(records="text", keys="text", values="json", **functions):
    given = {"map": None, "reduce": None, "combine": None}
    given.update(functions)
    return sw._Job(given, records, keys, values)


def run(program, args, data=b"", cwd=None):
    """A program of its own: its exit code, output and what it said."""
    text = "import sheaf_worker\n" + program
    done = subprocess.run(
        [sys.executable, "-c", text] + args, input=data, capture_output=True, cwd=cwd,
        env=dict(os.environ, PYTHONPATH=HERE), timeout=60, check=False,
    )
    return done.returncode, done.stdout, done.stderr.decode()


class Codecs(unittest.TestCase):
    def test_what_is_encoded_comes_back(self):
        cases = {
            "text": ["", "a b", "\u00c4\U0001f600", "\udcff\udc80", "\r", "null"],
            "json": [None, True, 0, -5, 2**70, 1.5, 1e300, "", "a\tb\nc", "\u2028\U0001f600", [], {"a": {}}],
            "bytes": [b"", b"\0\xff\n\t"],
        }
        for name, values in cases.items():
            codec = sw.CODECS[name]
            for value in values:
                back = codec.decode(codec.encode(value))
                self.assertEqual((back, type(back)), (value, type(value)), name)

    def test_all_bytes_pass_through_text(self):
        data = bytes(range(256)) + "\u00e9".encode("latin-1")
        text = sw.CODECS["text"]
        self.assertEqual(text.encode(text.decode(data)), data)

    def test_json_is_one_line_and_the_same_for_equal_objects(self):
        encode = sw.CODECS["json"].encode
        self.assertEqual(encode({"b": 1, "a": "x\ty\n"}), b'{"a":"x\\ty\\n","b":1}')
        self.assertEqual(encode({"a": "x\ty\n", "b": 1}), encode({"b": 1, "a": "x\ty\n"}))

    def test_what_would_come_back_as_something_else_is_refused(self):
        for codec, value in [
            ("text", 5), ("text", b"a"), ("text", None), ("text", "\ud800"),
            ("json", {1: 2}), ("json", [{"a": {None: 1}}]), ("json", float("nan")), ("json", float("inf")),
            ("json", b"a"), ("json", {1, 2}), ("json", "\ud800"), ("bytes", "a"), ("bytes", 5),
        ]:
            with self.assertRaises(sw.WorkerError, msg="%s %r" % (codec, value)):
                sw.CODECS[codec].encode(value)
        for data in [b"", b"{", b"nul", b"NaN", b"[Infinity]", b"1 2", b"[" * 100_000]:
            with self.assertRaises(sw.WorkerError, msg=repr(data[:10])):
                sw.CODECS["json"].decode(data)

    def test_remembered_values_are_not_shared_where_they_can_change(self):
        decode = sw._remembering(sw.CODECS["json"].decode)
        decode(b"[]").append(1)
        self.assertEqual(decode(b"[]"), [])
        self.assertEqual([decode(b"1"), decode(b"1.0"), decode(b"true")], [1, 1.0, True])
        self.assertIs(type(decode(b"1.0")), float)


class Lines(unittest.TestCase):
    def test_any_cut_of_a_stream_gives_the_same_lines(self):
        for seed in range(200):
            chance = random.Random(seed)
            data = bytes(chance.choices(b"ab\n\t\r", k=chance.randrange(30)))
            expected = data.split(b"\n")
            if expected[-1] == b"":
                expected.pop()
            stream = io.BytesIO(data)
            found = sw._lines(lambda _, stream=stream, chance=chance: stream.read(chance.randrange(1, 5)))
            self.assertEqual(list(found), expected, "seed %d" % seed)

    def test_a_line_beyond_the_bound_is_refused_whatever_its_pieces(self):
        stream = io.BytesIO(b"a\n" + b"x" * 50)
        with self.assertRaisesRegex(sw.WorkerError, "more than 20 bytes"):
            list(sw._lines(lambda _: stream.read(7), 20))

    def test_what_does_not_fit_into_a_line_is_refused(self):
        self.assertEqual(sw._join_line((b"a", b"1\t2")), b"a\t1\t2\n")
        for pair in [(b"a\tb", b"1"), (b"a\nb", b"1"), (b"a", b"1\n")]:
            with self.assertRaises(sw.WorkerError):
                sw._join_line(pair)


class Frames(unittest.TestCase):
    def test_any_cut_of_a_stream_gives_the_same_pieces(self):
        for seed in range(100):
            chance = random.Random(seed)
            sizes = [chance.randrange(9) for _ in range(chance.randrange(9))]
            pieces = [bytes(chance.choices(b"ab\0\n", k=size)) for size in sizes]
            stream = io.BytesIO(b"".join(map(sw._frame, pieces)))
            found = sw._frames(lambda _, stream=stream, chance=chance: stream.read(chance.randrange(1, 7)))
            self.assertEqual(list(found), pieces, "seed %d" % seed)

    def test_what_is_cut_off_or_too_long_is_refused(self):
        for data, message in [
            (b"\0", "1 bytes of 4"), (b"\0\0\0\x02a", "5 bytes of 6"), (b"\xff\xff\xff\xff", "more than"),
        ]:
            with self.assertRaisesRegex(sw.WorkerError, message):
                list(sw._frames(io.BytesIO(data).read))
        with self.assertRaisesRegex(sw.WorkerError, "between a key and its value"):
            list(sw._in_pairs(iter([b"a", b"b", b"c"])))


class Functions(unittest.TestCase):
    def test_map_may_yield_return_a_list_or_nothing(self):
        def some(line):
            return [(line, 1), [line, 2]] if line else None
        self.assertEqual(
            list(job(map=some).map([b"a", b"", b"b"])),
            [(b"a", b"1"), (b"a", b"2"), (b"b", b"1"), (b"b", b"2")],
        )

    def test_what_is_no_pair_is_refused(self):
        for given in ["ab", [1, 2], [("a",)], [("a", 1, 2)], ["ab"], {"a": 1}, ("a", 1)]:
            with self.assertRaisesRegex(sw.WorkerError, "no .key, value.|not int", msg=repr(given)):
                list(job(map=lambda line, given=given: given).map([b"x"]))

    def test_values_left_unread_are_skipped_and_are_not_read_twice_in_silence(self):
        pairs = [(b"a", b"1"), (b"a", b"2"), (b"b", b"3")]
        first = job(reduce=lambda key, values: [(key, next(values))])
        self.assertEqual(list(first.reduce(pairs)), [(b"a", b"1"), (b"b", b"3")])
        mean = job(reduce=lambda key, values: [(key, sum(values) / len(list(values)))])
        with self.assertRaisesRegex(sw.WorkerError, "once"):
            list(mean.reduce(pairs))

    def test_combine_keeps_its_key(self):
        with self.assertRaisesRegex(sw.WorkerError, "may not change a key"):
            list(job(combine=lambda key, values: [("x", 1)]).reduce([(b"a", b"1")], "combine"))


class Sorting(unittest.TestCase):
    def test_runs_on_disk_change_nothing(self):
        limit = sw.SORT_BYTES
        self.addCleanup(lambda: setattr(sw, "SORT_BYTES", limit))
        for seed in range(30):
            chance = random.Random(seed)
            sw.SORT_BYTES = chance.choice([200, 2_000, 1 << 20])
            buckets = chance.randrange(1, 4)
            pairs = [
                (b"k%d" % chance.randrange(20), b"v%d" % at + b"x" * chance.choice([0] * 30 + [300_000]))
                for at in range(chance.randrange(200))
            ]
            bucket = sw._bucket_of(buckets)
            with sw._Sorter(lambda one: one) as sorter:
                for pair in pairs:
                    sorter.add(bucket(pair[0]), pair)
                for number in range(buckets):
                    expected = sorted((p for p in pairs if bucket(p[0]) == number), key=lambda p: p[0])
                    self.assertEqual(list(sorter.sorted(number)), expected, "seed %d" % seed)

    def test_buckets_are_fnv(self):
        # Test vectors of the authors of FNV: isthe.com/chongo/src/fnv/test_fnv.c.
        for key, value in [(b"", 0x811C9DC5), (b"a", 0xE40C292C), (b"foobar", 0xBF9CF968)]:
            self.assertEqual(sw._bucket_of(2**32)(key), value)


class Programs(unittest.TestCase):
    def test_nothing_that_is_printed_reaches_the_pairs(self):
        program = """
import os, subprocess, sys
def words(line):
    print("printed", line)
    sys.stdout.write("half a line")
    os.write(1, b"by number\\n")
    subprocess.run(["sh", "-c", "cat; echo from a child"], check=True)
    sheaf_worker.count("lines")
    sheaf_worker.status("at " + line)
    return [(line, len(line))]
sheaf_worker.main(map=words)
"""
        code, out, said = run(program, ["map"], b"a\nbc")
        self.assertEqual((code, out), (0, b"a\t1\nbc\t2\n"), said)
        lines = said.split("\n")
        for line in ["printed a", "from a child", "reporter:status:at bc", "reporter:counter:sheaf,lines,2"]:
            self.assertIn(line, lines)

    def test_json_keys_of_different_types_stay_apart(self):
        program = """
def each(record):
    for key in record["keys"]:
        yield key, {"n": 1}
def total(key, values):
    yield [key, type(key).__name__], sum(value["n"] for value in values)
sheaf_worker.main(map=each, reduce=total)
"""
        code, out, said = run(program, ["map", "--protocol", "json"], b'{"keys": [1, "1\\n", null]}\n')
        self.assertEqual((code, out), (0, b'[1,{"n":1}]\n["1\\n",{"n":1}]\n[null,{"n":1}]\n'), said)
        pairs = b'[true,{"n":1}]\n[1,{"n":1}]\n[1,{"n":2}]\n["1",{"n":1}]\n'
        code, out, said = run(program, ["reduce", "--protocol", "json"], pairs)
        self.assertEqual(code, 0, said)
        self.assertEqual(out, b'[[true,"bool"],1]\n[[1,"int"],3]\n[["1","str"],1]\n')
        for line in [b"[]", b"[1,2,3]", b'{"a":1}', b"5", b"x", b""]:
            code, _, said = run(program, ["reduce", "--protocol", "json"], line + b"\n")
            self.assertEqual(code, 1, line)
            self.assertRegex(said, "no pair|no JSON")

    def test_pieces_of_bytes_hold_tabs_and_line_ends(self):
        program = """
def each(record):
    return [(record, 1), ("\\t\\n", len(record))]
def total(key, values):
    return [(key, sum(values))]
sheaf_worker.main(map=each, reduce=total)
"""
        frames = lambda *pieces: b"".join(map(sw._frame, pieces))
        code, out, said = run(program, ["map", "--protocol", "bytes"], frames(b"a\nb", b""))
        expected = frames(b"a\nb", b"1", b"\t\n", b"3", b"", b"1", b"\t\n", b"0")
        self.assertEqual((code, out), (0, expected), said)
        pairs = frames(b"k", b"1", b"k", b"3", b"l", b"0")
        code, out, said = run(program, ["reduce", "--protocol", "bytes"], pairs)
        self.assertEqual((code, out), (0, frames(b"k", b"4", b"l", b"0")), said)

    def test_errors_name_the_record_and_show_the_lines_of_the_program_alone(self):
        program = """
def lengths(line):
    return [(line, 1 / (len(line) - 2))]
sheaf_worker.main(map=lengths)
"""
        code, _, said = run(program, ["map"], b"a\nbc\nd\n")
        self.assertEqual(code, 1)
        self.assertRegex(said, r"map \(lengths\) failed at record 2, 'bc'\nTraceback")
        self.assertRegex(said, r'(?s)in lengths\n.*ZeroDivisionError: ')
        self.assertNotIn("sheaf_worker.py", said)
        code, _, said = run("sheaf_worker.main(map=lambda line: [(line, 1)])", ["reduce"])
        self.assertEqual((code, said), (1, "sheaf_worker: main() was given no reduce function\n"))
        code, _, said = run("sheaf_worker.main(map=print, keys='xml')", ["map"])
        self.assertEqual(code, 1)
        self.assertIn("main(keys='xml'): it is one of text, json, bytes", said)
        code, _, said = run("sheaf_worker.main(map=print)", ["mapp"])
        self.assertEqual(code, 2)
        self.assertIn("invalid choice: 'mapp'", said)

    def test_counters_with_names_that_cannot_be_told_are_refused(self):
        for name in ["", "a,b", "a\nb", "x" * 201, 5]:
            with self.assertRaises(sw.WorkerError, msg=repr(name)):
                sw.count(name)
        for by in [1.5, True, "1"]:
            with self.assertRaises(sw.WorkerError, msg=repr(by)):
                sw.count("a", by)

    def test_sys_exit_and_an_early_end_of_the_reader_are_no_success(self):
        code, _, _ = run("import sys\nsheaf_worker.main(map=lambda line: sys.exit(3))", ["map"], b"a\n")
        self.assertEqual(code, 3)


class Inputs(unittest.TestCase):
    def test_files_are_opened_by_what_is_in_them(self):
        import bz2
        import gzip
        import lzma
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "x")
            for data in [
                b"a\nb", b"\xef\xbb\xbfa\nb", gzip.compress(b"a\n") + gzip.compress(b"b"),
                bz2.compress(b"a\nb"), lzma.compress(b"a\nb"),
                *[pack(b"\xef\xbb\xbfa\nb") for pack in (gzip.compress, bz2.compress, lzma.compress)],
            ]:
                with open(path, "wb") as file:
                    file.write(data)
                with sw._open_input(path) as file:
                    self.assertEqual(list(sw._lines(file.read)), [b"a", b"b"], repr(data[:4]))
            for data, message in [(b"\x28\xb5\x2f\xfdxx", "zstd"), ("a".encode("utf-16"), "UTF-16"),
                                  (gzip.compress("a".encode("utf-16")), "UTF-16")]:
                with open(path, "wb") as file:
                    file.write(data)
                with self.assertRaisesRegex(sw.WorkerError, message):
                    sw._open_input(path)


class Tasks(unittest.TestCase):
    def test_answers_that_are_no_tasks_are_refused(self):
        with tempfile.TemporaryDirectory() as directory:
            good = {"type": "mapper", "id": 1, "i_path": ["/a"], "o_path": directory, "n_buckets": 2}
            self.assertEqual(sw._Task.check(good).path, "/task/mapper/1/status")
            for change in [
                {"type": "../x"}, {"id": -1}, {"id": True}, {"id": "1"}, {"i_path": "/a"}, {"i_path": [1]},
                {"o_path": None}, {"o_path": directory + "/none"}, {"n_buckets": 0}, {"n_buckets": 10**9},
            ]:
                with self.assertRaises(sw.WorkerError, msg=json.dumps(change)):
                    sw._Task.check(dict(good, **change))


if __name__ == "__main__":
    unittest.main()
