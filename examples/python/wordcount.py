"""Counts words. With python/ of the package in PYTHONPATH:

    sheaf run wordcount books/*.txt -o counts --listen 5000 --intermediate /shared/tmp
    python3 wordcount.py worker --driver http://127.0.0.1:5000 --token-file TOKEN_FILE
"""
import re

import sheaf_worker


def words(line):
    for word in re.findall(r"[^\W\d_]+", line):
        sheaf_worker.count("words")
        yield word, 1


def total(word, counts):
    yield word, sum(counts)


sheaf_worker.main(map=words, combine=total, reduce=total)
