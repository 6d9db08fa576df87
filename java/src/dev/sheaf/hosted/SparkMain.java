package dev.sheaf.hosted;

import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.BytesWritable;
import org.apache.hadoop.mapred.FileOutputFormat;
import org.apache.hadoop.mapred.JobConf;
import org.apache.hadoop.yarn.api.records.ApplicationId;
import org.apache.hadoop.yarn.client.api.YarnClient;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaPairRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.api.java.function.PairFunction;
import scala.Tuple2;

/**
 * One sheaf job as a Spark application: the splits, a task program for each, the shuffle of its frames, and a
 * task program for each partition. What it is to run it finds in spark.sheaf.* settings:
 *
 * <ul>
 *   <li>home: where sheaf/run.sh lies, an absolute path or "."
 *   <li>splits: address of the list of splits
 *   <li>maps: how many lines that has; reduces: how many partitions, 0 for none
 *   <li>output: address of the directory that the committer makes
 *   <li>told (optional): address of a directory, where nobody hears this process: "progress" in it has the
 *       lines that say how far the job is, "failure" what went wrong
 *   <li>client (optional): "true" when standard input ends with the client that has started this
 * </ul>
 */
public final class SparkMain {
  private static final int FAILURE_CHARS = 1024 * 1024;

  private SparkMain() {}

  public static void main(String[] args) throws Exception {
    if (args.length == 2 && args[0].equals("kill")) {
      kill(args[1]);
      return;
    }
    SparkConf conf = new SparkConf();
    if (conf.getBoolean("spark.sheaf.client", false)) endWithClient();
    try {
      run(conf);
    } catch (Throwable error) {
      failed(conf, error);
      throw error;
    }
  }

  private static void run(SparkConf conf) throws IOException {
    // Each of these would leave out splits, or what is in them, without a word.
    conf.set("spark.hadoopRDD.ignoreEmptySplits", "false");
    conf.set("spark.files.ignoreCorruptFiles", "false");
    conf.set("spark.files.ignoreMissingFiles", "false");
    // The other algorithm shows files of attempts that fail, and of jobs that do.
    conf.set("spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version", "1");
    int maps = conf.getInt("spark.sheaf.maps", 0);
    int reduces = conf.getInt("spark.sheaf.reduces", 0);
    String home = conf.get("spark.sheaf.home");
    JavaSparkContext spark = new JavaSparkContext(conf);
    try {
      boolean tagLogs = spark.isLocal();
      String told = conf.get("spark.sheaf.told", "");
      Path file = told.isEmpty() ? null : new Path(told, "progress");
      spark.sc().addSparkListener(new Progress(maps, reduces, file, spark.hadoopConfiguration()));
      Progress.say("started", "id", spark.sc().applicationId(), "url", url(spark));
      JobConf input = new JobConf(spark.hadoopConfiguration());
      input.set("sheaf.splits", conf.get("spark.sheaf.splits"));
      JavaPairRDD<BytesWritable, BytesWritable> splits =
          spark.hadoopRDD(input, SplitInputFormat.class, BytesWritable.class, BytesWritable.class, 1);
      if (splits.getNumPartitions() != maps) {
        throw new IOException("the list has " + splits.getNumPartitions() + " splits, not " + maps);
      }
      JavaPairRDD<byte[], byte[]> frames =
          splits.mapPartitionsToPair(new NodePipe<BytesWritable, BytesWritable>(home, "map", tagLogs));
      if (reduces > 0) {
        frames =
            frames
                .partitionBy(new PrefixPartitioner(reduces))
                .mapPartitionsToPair(new NodePipe<byte[], byte[]>(home, "reduce", tagLogs));
      }
      JobConf output = new JobConf(spark.hadoopConfiguration());
      output.setOutputFormat(NamedOutputFormat.class);
      output.setOutputKeyClass(BytesWritable.class);
      output.setOutputValueClass(BytesWritable.class);
      FileOutputFormat.setOutputPath(output, new Path(conf.get("spark.sheaf.output")));
      frames.mapToPair(new ToWritable()).saveAsHadoopDataset(output);
      Progress.say("done");
    } finally {
      spark.stop();
    }
  }

  private static String url(JavaSparkContext spark) {
    return spark.sc().uiWebUrl().isDefined() ? spark.sc().uiWebUrl().get() : "";
  }

  private static void failed(SparkConf conf, Throwable error) {
    StringWriter text = new StringWriter();
    error.printStackTrace(new PrintWriter(text, true));
    String told = text.toString();
    if (told.length() > FAILURE_CHARS) told = told.substring(0, FAILURE_CHARS);
    Progress.say("failed", "text", told);
    String place = conf.get("spark.sheaf.told", "");
    if (place.isEmpty()) return;
    Path path = new Path(place, "failure");
    Configuration settings = org.apache.spark.deploy.SparkHadoopUtil.get().newConfiguration(conf);
    // Where YARN starts a driver again, what the first one met is the cause.
    try (OutputStream out = path.getFileSystem(settings).create(path, false)) {
      out.write(told.getBytes(StandardCharsets.UTF_8));
    } catch (IOException lost) {
      System.err.println("sheaf: " + path + " cannot be written: " + lost);
    }
  }

  /** A client that is gone, however it went, wants nothing any more. */
  private static void endWithClient() {
    Thread watch =
        new Thread("sheaf-client") {
          @Override
          public void run() {
            try {
              while (System.in.read() >= 0) continue;
            } catch (IOException error) {
              // As its end.
            }
            System.exit(1);
          }
        };
    watch.setDaemon(true);
    watch.start();
  }

  /** Ends an application of YARN whose driver runs there. */
  private static void kill(String application) throws Exception {
    YarnClient yarn = YarnClient.createYarnClient();
    yarn.init(new YarnConfiguration());
    yarn.start();
    yarn.killApplication(ApplicationId.fromString(application));
    yarn.stop();
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
