package dev.sheaf.hosted;

import java.io.IOException;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.BytesWritable;
import org.apache.hadoop.mapred.FileOutputFormat;
import org.apache.hadoop.mapred.JobConf;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaPairRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.api.java.function.PairFunction;
import scala.Tuple2;

/**
 * One sheaf job within an application: the splits, a task program for each, the shuffle of its frames, and a
 * task program for each partition.
 */
final class SparkJob {
  /** Local property of its thread, by which its stages are told from those of other jobs. */
  static final String PROPERTY = "spark.sheaf.job";

  final String id;
  final int maps;
  final int reduces;
  private final String name;
  private final String home;
  private final String archive;
  private final String splits;
  private final String output;
  private volatile boolean cancelled;

  /**
   * @param home where sheaf/run.sh lies: an absolute path, or "." for where Spark has unpacked archives
   * @param archive address of what travels with the job; "" where it lies in home/job
   * @param splits address of the list of splits
   * @param output address of the directory that the committer makes
   * @param maps how many lines the list has
   * @param reduces how many partitions, 0 for none
   */
  private SparkJob(
      String id,
      String name,
      String home,
      String archive,
      String splits,
      String output,
      String maps,
      String reduces) {
    this.id = id;
    this.name = name;
    this.home = home;
    this.archive = archive;
    this.splits = splits;
    this.output = output;
    this.maps = Integer.parseInt(maps);
    this.reduces = Integer.parseInt(reduces);
  }

  /** As the client says it, behind the word "run". */
  static SparkJob of(String[] words) {
    return new SparkJob(words[1], words[2], words[3], words[4], words[5], words[6], words[7], words[8]);
  }

  /** As settings of its application have it. */
  static SparkJob of(SparkConf conf) {
    String own = "spark.sheaf.";
    return new SparkJob(
        conf.get(PROPERTY),
        conf.get("spark.app.name"),
        conf.get(own + "home"),
        "",
        conf.get(own + "splits"),
        conf.get(own + "output"),
        conf.get(own + "maps"),
        conf.get(own + "reduces"));
  }

  /** Runs it by this thread. When it returns or throws, none of its tasks runs any more. */
  void run(JavaSparkContext spark, Progress progress) throws IOException {
    spark.setLocalProperty(PROPERTY, id);
    // Tasks are told by what they are asked for; an interrupt would reach Hadoop's clients, too.
    spark.sc().setJobGroup(id, name, false);
    String tag = spark.isLocal() ? id : null;
    JobConf input = new JobConf(spark.hadoopConfiguration());
    input.set(SplitInputFormat.SPLITS, splits);
    JavaPairRDD<BytesWritable, BytesWritable> lines =
        spark.hadoopRDD(input, SplitInputFormat.class, BytesWritable.class, BytesWritable.class, 1);
    if (lines.getNumPartitions() != maps) {
      throw new IOException("the list has " + lines.getNumPartitions() + " splits, not " + maps);
    }
    JavaPairRDD<byte[], byte[]> frames =
        lines.mapPartitionsToPair(new NodePipe<BytesWritable, BytesWritable>(home, archive, "map", tag));
    if (reduces > 0) {
      frames =
          frames
              .partitionBy(new PrefixPartitioner(reduces))
              .mapPartitionsToPair(new NodePipe<byte[], byte[]>(home, archive, "reduce", tag));
    }
    JobConf conf = new JobConf(spark.hadoopConfiguration());
    conf.setOutputFormat(NamedOutputFormat.class);
    conf.setOutputKeyClass(BytesWritable.class);
    conf.setOutputValueClass(BytesWritable.class);
    FileOutputFormat.setOutputPath(conf, new Path(output));
    progress.begin(this);
    try {
      frames.mapToPair(new ToWritable()).saveAsHadoopDataset(conf);
    } finally {
      progress.end(this);
      clean(frames);
    }
  }

  /** Blocks of the shuffle would lie on disks until Java collects its garbage: the next job may need the room. */
  private static void clean(JavaPairRDD<byte[], byte[]> frames) {
    try {
      frames.rdd().cleanShuffleDependencies(false);
    } catch (RuntimeException error) {
      // The application ends, and they with it.
      System.err.println("sheaf: blocks are not removed: " + error);
    }
  }

  /** Ends it, and no other. What its client hears is that it is cancelled. */
  void cancel(JavaSparkContext spark) {
    cancelled = true;
    spark.sc().cancelJobGroup(id);
  }

  boolean isCancelled() {
    return cancelled;
  }

  private static final class ToWritable
      implements PairFunction<Tuple2<byte[], byte[]>, BytesWritable, BytesWritable> {
    private static final long serialVersionUID = 1;

    @Override
    public Tuple2<BytesWritable, BytesWritable> call(Tuple2<byte[], byte[]> frame) {
      return new Tuple2<>(new BytesWritable(frame._1()), new BytesWritable(frame._2()));
    }
  }
}
