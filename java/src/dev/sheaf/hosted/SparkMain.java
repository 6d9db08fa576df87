package dev.sheaf.hosted;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.yarn.api.records.ApplicationId;
import org.apache.hadoop.yarn.client.api.YarnClient;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaSparkContext;

/**
 * A Spark application that runs sheaf's jobs. Where its client has started it (spark.sheaf.client is "true"),
 * that says on standard input what is to be done, a line each; words have tabs between them and are
 * percent-encoded:
 *
 * <ul>
 *   <li>run JOB NAME HOME ARCHIVE SPLITS OUTPUT MAPS REDUCES: see SparkJob. Several run at a time
 *   <li>cancel JOB
 *   <li>end: when no job is left. Input that ends without it means that the client is gone
 * </ul>
 *
 * Else it runs the one job that spark.sheaf.* settings tell of. Nobody hears it then:
 *
 * <ul>
 *   <li>told (optional): address of a directory; "progress" in it has the lines that say how far the job is,
 *       "failure" what went wrong
 * </ul>
 */
public final class SparkMain {
  private static final int FAILURE_CHARS = 1024 * 1024;
  private static final long LOOK_MS = 300;
  private static final long LAST_WORDS_MS = 20_000;

  private SparkMain() {}

  public static void main(String[] args) throws Exception {
    if (args.length == 2 && args[0].equals("kill")) {
      kill(args[1]);
      return;
    }
    SparkConf conf = new SparkConf();
    // Each of these would leave out splits, or what is in them, without a word.
    conf.set("spark.hadoopRDD.ignoreEmptySplits", "false");
    conf.set("spark.files.ignoreCorruptFiles", "false");
    conf.set("spark.files.ignoreMissingFiles", "false");
    // The other algorithm shows files of attempts that fail, and of jobs that do.
    conf.set("spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version", "1");
    try {
      if (conf.getBoolean("spark.sheaf.client", false)) serve(conf);
      else runOne(conf);
    } catch (Throwable error) {
      String text = textOf(error);
      Progress.say("failed", "text", text);
      leave(conf, text);
      throw error;
    }
  }

  private static void runOne(SparkConf conf) throws IOException {
    JavaSparkContext spark = new JavaSparkContext(conf);
    try {
      String told = conf.get("spark.sheaf.told", "");
      Path file = told.isEmpty() ? null : new Path(told, "progress");
      Progress progress = begin(spark, file);
      SparkJob job = SparkJob.of(conf);
      job.run(spark, progress);
      Progress.say("done", "job", job.id);
    } finally {
      spark.stop();
    }
  }

  /** Does what the client says, until it says that this is all. */
  private static void serve(SparkConf conf) throws InterruptedException {
    Orders orders = new Orders();
    orders.start();
    JavaSparkContext spark = new JavaSparkContext(conf);
    Map<String, Running> jobs = new ConcurrentHashMap<>();
    try {
      Progress progress = begin(spark, null);
      for (;;) {
        String[] words = orders.lines.poll(LOOK_MS, TimeUnit.MILLISECONDS);
        if (spark.sc().isStopped()) {
          // Jobs that run have been told so, and tell what they know; others, not taken, are the client's.
          for (Running one : jobs.values()) one.join(LAST_WORDS_MS);
          System.exit(1);
        }
        if (words == null) continue;
        if (words[0].equals("end")) return;
        if (words[0].equals("run")) {
          Running running = new Running(SparkJob.of(words), spark, progress, jobs);
          jobs.put(words[1], running);
          running.start();
        } else {
          Running running = jobs.get(words[1]);
          if (running != null) running.job.cancel(spark);
        }
      }
    } finally {
      spark.stop();
    }
  }

  private static Progress begin(JavaSparkContext spark, Path file) {
    Progress progress = new Progress(spark, file);
    spark.sc().addSparkListener(progress);
    String url = spark.sc().uiWebUrl().isDefined() ? spark.sc().uiWebUrl().get() : "";
    Progress.say("started", "id", spark.sc().applicationId(), "url", url);
    return progress;
  }

  /** A job that runs beside others: what becomes of it is told, and nothing else in the application changes. */
  private static final class Running extends Thread {
    final SparkJob job;
    private final JavaSparkContext spark;
    private final Progress progress;
    private final Map<String, Running> jobs;

    Running(SparkJob job, JavaSparkContext spark, Progress progress, Map<String, Running> jobs) {
      super("sheaf-" + job.id);
      setDaemon(true);
      this.job = job;
      this.spark = spark;
      this.progress = progress;
      this.jobs = jobs;
    }

    @Override
    public void run() {
      try {
        Progress.say("taken", "job", job.id);
        job.run(spark, progress);
        Progress.say("done", "job", job.id);
      } catch (Throwable error) {
        if (job.isCancelled()) Progress.say("cancelled", "job", job.id);
        else Progress.say("failed", "job", job.id, "text", textOf(error));
        // Of what is left of this process nobody can be sure.
        if (error instanceof VirtualMachineError) System.exit(1);
      } finally {
        jobs.remove(job.id);
      }
    }
  }

  private static String textOf(Throwable error) {
    StringWriter text = new StringWriter();
    error.printStackTrace(new PrintWriter(text, true));
    String told = text.toString();
    return told.length() > FAILURE_CHARS ? told.substring(0, FAILURE_CHARS) : told;
  }

  private static void leave(SparkConf conf, String told) {
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

  /** What the client says. One that is gone, however it went, wants nothing any more. */
  private static final class Orders extends Thread {
    final LinkedBlockingQueue<String[]> lines = new LinkedBlockingQueue<>();

    Orders() {
      super("sheaf-client");
      setDaemon(true);
    }

    @Override
    public void run() {
      try (BufferedReader in =
          new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
        for (String line; (line = in.readLine()) != null; ) {
          String[] words = line.split("\t", -1);
          for (int at = 0; at < words.length; at++) words[at] = URLDecoder.decode(words[at], "UTF-8");
          lines.add(words);
          if (words[0].equals("end")) return;
        }
      } catch (IOException error) {
        // As its end.
      }
      System.exit(1);
    }
  }

  /** Ends an application of YARN whose driver runs there. */
  private static void kill(String application) throws Exception {
    YarnClient yarn = YarnClient.createYarnClient();
    yarn.init(new YarnConfiguration());
    yarn.start();
    yarn.killApplication(ApplicationId.fromString(application));
    yarn.stop();
  }
}
