"""Tells `sheaf mrjob` what a script of mrjob is: python3 sheaf_mrjob.py JOB.py [OPTIONS OF THE JOB ...]

The script runs as it would from the command line, up to where mrjob would choose a runner. What it is then
asked for comes from mrjob itself, so that options, mrjob.conf, file options and jobconf mean what they mean
there. The answer is one JSON object on standard output; nothing else is written there.
"""
import json
import os
import runpy
import sys
from typing import Any, Dict, List

# What cannot be had without Hadoop, by option of mrjob: what to do about it.
REFUSED_OPTIONS = {
    "libjars": "there is no Java in sheaf",
    "setup": "do in mapper_init() what it does, or run the job in an environment that has it",
    "upload_archives": "unpack them, and name their files in FILES",
    "upload_dirs": "name their files in FILES",
}
STEP_FUNCTIONS = ("mapper", "combiner", "reducer")


class Refused(Exception):
    """The job asks for something that sheaf does not do; the message names it."""


def check_step(number: int, step: Dict[str, Any]) -> None:
    """Raises Refused for what is no mapper, combiner or reducer written in Python."""
    place = "step %d" % (number + 1)
    kind = step.get("type")
    if kind != "streaming":
        raise Refused("%s is a %s step: sheaf runs steps of mappers and reducers only" % (place, kind))
    if step.get("input_manifest"):
        raise Refused("%s has a mapper_raw: let mapper() read lines instead" % place)
    for name in STEP_FUNCTIONS:
        function = step.get(name, {})
        if function.get("type", "script") != "script":
            raise Refused("%s has a %s_cmd: run it with sheaf stream, or write it in Python" % (place, name))
        if "pre_filter" in function:
            raise Refused("%s has a %s_pre_filter: filter in %s() instead" % (place, name, name))


def check_arguments(given: Any) -> None:
    """Raises Refused for arguments of the job that say where it runs: sheaf says that."""
    for name, flag, instead in (
        ("runner", "-r", "the job runs on sheaf"),
        ("output_dir", "--output-dir", "give -o to sheaf"),
        ("step_output_dir", "--step-output-dir", "sheaf keeps steps beside its output"),
    ):
        if getattr(given, name, None):
            raise Refused("%s is an option of mrjob's own runners: %s" % (flag, instead))
    if given.args:
        raise Refused("%s stands behind the --: inputs stand before it" % given.args[0])


def check_options(options: Dict[str, Any]) -> None:
    """Raises Refused for options, also those of mrjob.conf, that would have to be ignored."""
    for name, instead in REFUSED_OPTIONS.items():
        if options.get(name):
            raise Refused("%s (%s) cannot be had: %s" % (name, options[name], instead))


# mrjob has no other door to what tasks are called with.
# pylint: disable=protected-access
def describe(job: Any) -> Dict[str, Any]:
    """What the job is made of: steps with their arguments and jobconf, files by name, environment."""
    steps: List[Dict[str, Any]] = job._steps_desc()
    if not steps:
        raise Refused("the job has no steps: it defines neither mapper() nor reducer() nor steps()")
    for number, step in enumerate(steps):
        check_step(number, step)
    check_arguments(job.options)
    # mrjob's runner for local tests reads mrjob.conf, and makes the command lines of tasks.
    job.options.runner = "local"
    runner = job.make_runner()
    options = runner._opts
    check_options(options)
    script = os.path.abspath(runner._script_path)
    named = runner._working_dir_mgr.name_to_path("file")
    files = {name: os.path.abspath(path) for name, path in named.items()}
    cmdenv = {name: str(value) for name, value in (options["cmdenv"] or {}).items()}
    modules = {os.path.basename(path): os.path.abspath(path) for path in options.get("py_files") or []}
    if modules:
        files.update(modules)
        others = [cmdenv["PYTHONPATH"]] if "PYTHONPATH" in cmdenv else []
        cmdenv["PYTHONPATH"] = os.pathsep.join(list(modules) + others)
    called = [name for name, path in files.items() if path == script]
    if not called:
        raise Refused(
            "%s is not among the files of its tasks: another file takes its name; rename one of the two" % script
        )
    return {
        "script": called[0],
        "python": options.get("task_python_bin") or options.get("python_bin") or [],
        "files": files,
        "cmdenv": cmdenv,
        "partitioner": runner._partitioner or runner._sort_values_partitioner(),
        "inputFormat": job.hadoop_input_format(),
        "outputFormat": job.hadoop_output_format(),
        "steps": [
            {
                "jobconf": {name: _text(value) for name, value in runner._jobconf_for_step(number).items()},
                **{
                    name: [str(word) for word in runner._args_for_task(number, name)]
                    for name in STEP_FUNCTIONS
                    if name in step
                },
            }
            for number, step in enumerate(steps)
        ],
    }


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> None:
    """Exits with 0 and the description on standard output, or 1 and the reason on standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What the script prints while it is looked at is no part of the answer.
    os.dup2(2, 1)
    try:
        from mrjob.job import MRJob  # pylint: disable=import-outside-toplevel
    except ImportError as error:
        sys.exit("%s cannot load mrjob (%s)" % (sys.executable, error))
    answers: List[Dict[str, Any]] = []

    def run_job(self: Any) -> None:
        answers.append(describe(self))

    MRJob.run_job = run_job
    script = sys.argv[1]
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    try:
        runpy.run_path(script, run_name="__main__")
    except Refused as refused:
        sys.exit(str(refused))
    if len(answers) != 1:
        sys.exit("%s ran %d jobs of mrjob: it has to call MRJob.run() once" % (script, len(answers)))
    json.dump(answers[0], out)
    out.flush()


if __name__ == "__main__":
    main()
