"""A word count on Spark: spark-words.py rdd|sql INPUT OUTPUT. Writes lines "word<tab>count"."""

import sys
from operator import add

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, concat_ws, explode, split

kind, source, target = sys.argv[1:]
spark = SparkSession.builder.getOrCreate()
if kind == "rdd":
    lines = spark.sparkContext.textFile(source)
    counts = lines.flatMap(str.split).map(lambda word: (word, 1)).reduceByKey(add)
    counts.map(lambda pair: f"{pair[0]}\t{pair[1]}").saveAsTextFile(target)
else:
    words = spark.read.text(source).select(explode(split(col("value"), " ")).alias("word")).where("word <> ''")
    counts = words.groupBy("word").count()
    counts.select(concat_ws("\t", "word", "count")).write.text(target)
spark.stop()
