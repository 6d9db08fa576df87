"""Tests of python/sheaf_mrjob.py with the real mrjob, run by test/cli/mrjob.test.ts."""
import unittest

import sheaf_mrjob as sm
from mrjob.job import MRJob
from mrjob.step import JarStep, MRStep


class Words(MRJob):
    """A job that nothing is to be said against; the cases change it."""

    def mapper(self, _, line):
        yield line, 1


def refused(body, *args):
    """What is said of Words with these attributes, called with these arguments."""
    job = type("Changed", (Words,), body)(["--no-conf", *args])
    try:
        sm.describe(job)
    except sm.Refused as error:
        return str(error)
    return None


class Refusals(unittest.TestCase):
    def test_what_is_not_done_is_refused_by_its_name(self):
        def steps(*of):
            return {"steps": lambda self: list(of)}

        words = Words.mapper
        cases = [
            (steps(MRStep(mapper=words), MRStep(mapper_cmd="cat")), (), "step 2 has a mapper_cmd"),
            (steps(MRStep(mapper=words, reducer_cmd="wc")), (), "step 1 has a reducer_cmd"),
            (steps(MRStep(mapper=words, combiner_cmd="wc")), (), "step 1 has a combiner_cmd"),
            ({"mapper_pre_filter": lambda self: "grep x"}, (), "step 1 has a mapper_pre_filter"),
            (steps(MRStep(mapper_raw=lambda self, path, uri: ())), (), "step 1 has a mapper_raw"),
            (steps(JarStep(jar="x.jar")), (), "step 1 is a jar step"),
            (steps(), (), "the job has no steps"),
            ({}, ("-r", "hadoop"), "-r is an option of mrjob's own runners"),
            ({}, ("-o", "out"), "--output-dir is an option of mrjob's own runners"),
            ({}, ("in.txt",), "in.txt stands behind the --"),
            ({"LIBJARS": ["x.jar"]}, (), "libjars"),
            ({"ARCHIVES": ["x.tgz"]}, (), "upload_archives"),
            ({}, ("--dir", "."), "upload_dirs"),
            ({}, ("--setup", "make"), "setup"),
        ]
        for body, args, message in cases:
            self.assertIn(message, refused(body, *args) or "nothing", (message, args))

    def test_what_is_done_is_described(self):
        self.assertIsNone(refused({}))
        job = Words(["--no-conf", "--cmdenv", "A=b", "--jobconf", "x.y=true", "--python-bin", "python3 -u"])
        described = sm.describe(job)
        self.assertEqual(described["cmdenv"], {"A": "b"})
        self.assertEqual(described["python"], ["python3", "-u"])
        step = {"jobconf": {"x.y": "true"}, "mapper": ["--step-num=0", "--mapper"]}
        self.assertEqual(described["steps"], [step])
        self.assertIn(described["script"], described["files"])


if __name__ == "__main__":
    unittest.main()
