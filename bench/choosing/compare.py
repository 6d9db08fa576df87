"""The questions of docs/choosing.md, asked of other tools as one would write them.

    python3 compare.py duckdb|polars|spark stations|words INPUT OUTPUT

stations: min, mean and max of INPUT's lines STATION;NUMBER. words: how often each word of INPUT comes.
"""
import sys
from typing import Callable, Dict

WORD = r"\p{L}+"


def duckdb_stations(path: str, out: str) -> None:
    import duckdb

    duckdb.sql("SET threads = 2")
    duckdb.sql(
        f"""COPY (SELECT station, min(t), avg(t), max(t)
                  FROM read_csv('{path}', delim = ';', header = false, quote = '',
                                columns = {{'station': 'VARCHAR', 't': 'DOUBLE'}})
                  GROUP BY station ORDER BY station)
            TO '{out}' (DELIMITER '\t', HEADER false)"""
    )


def duckdb_words(path: str, out: str) -> None:
    import duckdb

    duckdb.sql("SET threads = 2")
    duckdb.sql(
        f"""COPY (SELECT word, count(*)
                  FROM (SELECT unnest(regexp_extract_all(line, '{WORD}')) AS word
                        FROM read_csv('{path}', delim = '\\0', header = false, quote = '', escape = '',
                                      columns = {{'line': 'VARCHAR'}}))
                  GROUP BY word ORDER BY word)
            TO '{out}' (DELIMITER '\t', HEADER false, QUOTE '')"""
    )


def polars_stations(path: str, out: str) -> None:
    import polars as pl

    rows = pl.scan_csv(
        path, separator=";", has_header=False, quote_char=None, new_columns=["station", "t"],
        schema_overrides=[pl.String, pl.Float64],
    )
    results = [pl.min("t").alias("min"), pl.mean("t").alias("mean"), pl.max("t").alias("max")]
    rows.group_by("station").agg(results).sort("station").sink_csv(out, separator="\t", include_header=False)


def polars_words(path: str, out: str) -> None:
    import polars as pl

    lines = pl.scan_csv(path, separator="\x01", has_header=False, quote_char=None, new_columns=["line"])
    words = lines.select(pl.col("line").str.extract_all(WORD).explode().alias("word")).drop_nulls()
    words.group_by("word").agg(pl.len()).sort("word").sink_csv(out, separator="\t", include_header=False)


def spark_session():
    from pyspark.sql import SparkSession

    settings = {"spark.ui.enabled": "false", "spark.sql.shuffle.partitions": "2"}
    return SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()


def spark_stations(path: str, out: str) -> None:
    from pyspark.sql import functions as f

    rows = spark_session().read.csv(path, sep=";", schema="station string, t double")
    results = rows.groupBy("station").agg(f.min("t"), f.avg("t"), f.max("t")).orderBy("station")
    results.coalesce(1).write.mode("overwrite").csv(out, sep="\t")


def spark_words(path: str, out: str) -> None:
    from pyspark.sql import functions as f

    words = f.explode(f.expr(r"regexp_extract_all(value, '\\p{L}+', 0)")).alias("word")
    results = spark_session().read.text(path).select(words).groupBy("word").count().orderBy("word")
    results.coalesce(1).write.mode("overwrite").csv(out, sep="\t")


QUESTIONS: Dict[str, Callable[[str, str], None]] = {
    f"{tool} {question}": globals()[f"{tool}_{question}"]
    for tool in ("duckdb", "polars", "spark")
    for question in ("stations", "words")
}

if __name__ == "__main__":
    if len(sys.argv) != 5 or " ".join(sys.argv[1:3]) not in QUESTIONS:
        sys.exit(__doc__)
    QUESTIONS[" ".join(sys.argv[1:3])](sys.argv[3], sys.argv[4])
