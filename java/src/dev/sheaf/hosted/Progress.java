package dev.sheaf.hosted;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.BitSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.hadoop.fs.Path;
import org.apache.spark.TaskFailedReason;
import org.apache.spark.TaskKilled;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerExecutorRemoved;
import org.apache.spark.scheduler.SparkListenerJobEnd;
import org.apache.spark.scheduler.SparkListenerJobStart;
import org.apache.spark.scheduler.SparkListenerStageSubmitted;
import org.apache.spark.scheduler.SparkListenerTaskEnd;
import org.apache.spark.scheduler.SparkListenerTaskStart;
import org.apache.spark.scheduler.TaskInfo;

/**
 * Tells the client how far the jobs of an application are, a JSON object a line on standard output, or in a
 * file. Which job a stage is of its properties say.
 */
final class Progress extends SparkListener {
  private static final String MARK = "sheaf-spark: ";
  private static final long EVERY_MS = 300;
  private static final long WRITE_MS = 2_000;
  private static final long END_MS = 10_000;
  private static final int REASON_CHARS = 64 * 1024;

  private final JavaSparkContext spark;
  private final Path file;
  private final Map<String, Job> jobs = new ConcurrentHashMap<>();
  /** By their numbers; only for the thread that calls listeners. */
  private final Map<Integer, Job> stages = new HashMap<>();
  private long writtenMs = Long.MIN_VALUE / 2;

  /** @param file where nobody hears this process, what is told last of each phase; else null */
  Progress(JavaSparkContext spark, Path file) {
    this.spark = spark;
    this.file = file;
  }

  /** Before anything of it runs. */
  void begin(SparkJob job) {
    jobs.put(job.id, new Job(job));
  }

  /** Waits until none of its tasks runs: an attempt that is not needed any more ends behind its job. */
  void end(SparkJob told) {
    Job job = jobs.get(told.id);
    job.settle();
    jobs.remove(told.id);
  }

  @Override
  public void onJobStart(SparkListenerJobStart start) {
    Job job = jobOf(start.properties());
    if (job == null) return;
    job.number = start.jobId();
    // The client may have said so before there was anything to cancel.
    if (job.about.isCancelled()) spark.sc().cancelJobGroup(job.about.id);
  }

  @Override
  public void onJobEnd(SparkListenerJobEnd end) {
    for (Job job : jobs.values()) if (job.number == end.jobId()) job.over();
    stages.values().removeIf(job -> !jobs.containsValue(job));
  }

  @Override
  public void onStageSubmitted(SparkListenerStageSubmitted submitted) {
    Job job = jobOf(submitted.properties());
    if (job == null) return;
    int stage = submitted.stageInfo().stageId();
    stages.put(stage, job);
    // Parents get lower numbers than the stages that read of them.
    job.firstStage = Math.min(job.firstStage, stage);
  }

  private Job jobOf(Properties properties) {
    String id = properties == null ? null : properties.getProperty(SparkJob.PROPERTY);
    return id == null ? null : jobs.get(id);
  }

  @Override
  public void onTaskStart(SparkListenerTaskStart start) {
    Job job = stages.get(start.stageId());
    if (job != null) job.runs(start.taskInfo().taskId());
  }

  @Override
  public void onTaskEnd(SparkListenerTaskEnd end) {
    Job job = stages.get(end.stageId());
    TaskInfo task = end.taskInfo();
    if (job == null || task == null) return;
    job.rests(task.taskId());
    Phase phase = job.reduce.tasks == 0 || end.stageId() == job.firstStage ? job.map : job.reduce;
    if (end.reason() instanceof TaskKilled) return;
    if (end.reason() instanceof TaskFailedReason) {
      String reason = ((TaskFailedReason) end.reason()).toErrorString();
      if (reason.length() > REASON_CHARS) reason = reason.substring(0, REASON_CHARS);
      String name = phase.name + "-" + task.partitionId();
      boolean counts = ((TaskFailedReason) end.reason()).countTowardsTaskFailures();
      say(
          "taskFailed",
          "job",
          job.about.id,
          "task",
          name,
          "attempt",
          Integer.toString(task.attemptNumber()),
          "counts",
          Boolean.toString(counts),
          "host",
          task.host(),
          "text",
          reason);
      return;
    }
    phase.done.set(task.partitionId());
    long now = System.nanoTime() / 1_000_000;
    boolean whole = phase.done.cardinality() >= phase.tasks;
    if (!whole && now - phase.toldMs < EVERY_MS) return;
    phase.toldMs = now;
    System.out.println(phase.told());
    if (file == null || (!whole && now - writtenMs < WRITE_MS)) return;
    writtenMs = now;
    try (OutputStream out = file.getFileSystem(spark.hadoopConfiguration()).create(file, true)) {
      out.write((job.map.told() + '\n' + job.reduce.told() + '\n').getBytes(StandardCharsets.US_ASCII));
    } catch (IOException error) {
      // The next one may be written.
      System.err.println("sheaf: " + file + " cannot be written: " + error);
    }
  }

  @Override
  public void onExecutorRemoved(SparkListenerExecutorRemoved removed) {
    say("executorRemoved", "executor", removed.executorId(), "text", removed.reason());
  }

  static void say(String event, String... pairs) {
    System.out.println(line(event, pairs));
  }

  /** @param pairs names and values by turns */
  private static String line(String event, String... pairs) {
    StringBuilder line = new StringBuilder(MARK).append("{\"event\":");
    quote(line, event);
    for (int at = 0; at < pairs.length; at += 2) {
      line.append(',');
      quote(line, pairs[at]);
      line.append(':');
      quote(line, pairs[at + 1] == null ? "" : pairs[at + 1]);
    }
    return line.append('}').toString();
  }

  /** As JSON, in ASCII: whatever this process takes for the encoding of its output. */
  private static void quote(StringBuilder line, String text) {
    line.append('"');
    for (int at = 0; at < text.length(); at++) {
      char one = text.charAt(at);
      if (one == '"' || one == '\\') line.append('\\').append(one);
      else if (one >= ' ' && one < 127) line.append(one);
      else line.append(String.format("\\u%04x", (int) one));
    }
    line.append('"');
  }

  /** A job that runs. */
  private static final class Job {
    final SparkJob about;
    final Phase map;
    final Phase reduce;
    private final Set<Long> running = new HashSet<>();
    private boolean isOver;
    volatile int number = -1;
    int firstStage = Integer.MAX_VALUE;

    Job(SparkJob about) {
      this.about = about;
      this.map = new Phase(about.id, "map", about.maps);
      this.reduce = new Phase(about.id, "reduce", about.reduces);
    }

    synchronized void runs(long task) {
      running.add(task);
    }

    synchronized void rests(long task) {
      running.remove(task);
      notifyAll();
    }

    synchronized void over() {
      isOver = true;
      notifyAll();
    }

    /** Not for ever: Spark leaves out what it has to tell when that is too much. */
    synchronized void settle() {
      long endMs = System.nanoTime() / 1_000_000 + END_MS;
      try {
        for (long leftMs = END_MS; leftMs > 0 && !(isOver && running.isEmpty()); ) {
          wait(leftMs);
          leftMs = endMs - System.nanoTime() / 1_000_000;
        }
      } catch (InterruptedException error) {
        Thread.currentThread().interrupt();
      }
    }
  }

  private static final class Phase {
    final String job;
    final String name;
    final int tasks;
    final BitSet done = new BitSet();
    long toldMs = Long.MIN_VALUE / 2;

    Phase(String job, String name, int tasks) {
      this.job = job;
      this.name = name;
      this.tasks = tasks;
    }

    String told() {
      return line(name, "job", job, "done", Integer.toString(done.cardinality()));
    }
  }
}
