# Orders and turnover per city by DuckDB. usage: python3 csv-duckdb.py THREADS INPUT OUTPUT
import sys

import duckdb

threads, source, target = sys.argv[1:]
duckdb.sql(f"SET threads = {int(threads)}")
rows = duckdb.sql(
    f"SELECT city, count(*), sum(price::DOUBLE) FROM read_csv('{source}', header = true, all_varchar = true) GROUP BY city"
).fetchall()
with open(target, "w", encoding="utf8") as out:
    out.writelines(f"{city}\t{orders}\t{turnover!r}\n" for city, orders, turnover in rows)
