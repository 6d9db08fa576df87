"""Counts words as a worker of `sheaf run ... --listen PORT --intermediate DIR`, over plain HTTP and plain files.

    python3 wordcount.py http://127.0.0.1:5000 TOKEN_FILE
"""
import json, os, re, sys, time, urllib.request
from collections import Counter

driver, token = sys.argv[1], open(sys.argv[2]).read().strip()


def call(method, path, body=None):
    request = urllib.request.Request(driver + path, method=method, data=body and json.dumps(body).encode())
    request.add_header("authorization", "Bearer " + token)
    request.add_header("worker-pid", str(os.getpid()))
    if body:
        request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def bucket(key, buckets):
    value = 2166136261  # FNV-1a, 32 bits: the same in every language
    for byte in key.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return value % buckets


def write(path, pairs):
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        for key, value in pairs:
            out.write(f"{key}\t{value}\n")


def run_mapper(task):
    counts = Counter()
    for path in task["i_path"]:
        for line in open(path, encoding="utf-8"):
            counts.update(re.findall(r"[^\W\d_]+", line))
    for b in range(task["n_buckets"]):
        pairs = [pair for pair in sorted(counts.items()) if bucket(pair[0], task["n_buckets"]) == b]
        write(os.path.join(task["o_path"], f"{b:05}.tsv"), pairs)
    return {"words": sum(counts.values())}


def run_reducer(task):
    counts = Counter()
    for path in task["i_path"]:
        for line in open(path, encoding="utf-8"):
            key, value = line.rstrip("\n").split("\t")
            counts[key] += int(value)
    write(os.path.join(task["o_path"], "counts.tsv"), sorted(counts.items(), key=lambda p: p[0].encode()))
    return {}


while (task := call("PUT", "/task"))["job_status"] == 1:
    if task["type"] is None:
        time.sleep(task["retry_after_ms"] / 1000)
        continue
    counters = (run_mapper if task["type"] == "mapper" else run_reducer)(task)
    call("POST", f"/task/{task['type']}/{task['id']}/status", {"status": 4, "counters": counters})
