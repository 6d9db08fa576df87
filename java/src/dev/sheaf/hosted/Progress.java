package dev.sheaf.hosted;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.BitSet;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.spark.TaskFailedReason;
import org.apache.spark.TaskKilled;
import org.apache.spark.scheduler.SparkListener;
import org.apache.spark.scheduler.SparkListenerExecutorRemoved;
import org.apache.spark.scheduler.SparkListenerTaskEnd;
import org.apache.spark.scheduler.TaskInfo;

/** Tells the client how far the job is, a JSON object a line on standard output, or in a file. */
final class Progress extends SparkListener {
  private static final String MARK = "sheaf-spark: ";
  private static final long EVERY_MS = 300;
  private static final long WRITE_MS = 2_000;
  private static final int REASON_CHARS = 64 * 1024;

  private final Phase map;
  private final Phase reduce;
  private final Path file;
  private final Configuration conf;
  private long writtenMs = Long.MIN_VALUE / 2;
  /** Parents get lower numbers than the stages that read of them. */
  private int firstStage = Integer.MAX_VALUE;

  /** @param file where nobody hears this process, what is told last of each phase; else null */
  Progress(int maps, int reduces, Path file, Configuration conf) {
    this.map = new Phase("map", maps);
    this.reduce = new Phase("reduce", reduces);
    this.file = file;
    this.conf = conf;
  }

  @Override
  public void onTaskEnd(SparkListenerTaskEnd end) {
    firstStage = Math.min(firstStage, end.stageId());
    Phase phase = reduce.tasks == 0 || end.stageId() == firstStage ? map : reduce;
    TaskInfo task = end.taskInfo();
    if (task == null) return;
    if (end.reason() instanceof TaskKilled) return;
    if (end.reason() instanceof TaskFailedReason) {
      String reason = ((TaskFailedReason) end.reason()).toErrorString();
      if (reason.length() > REASON_CHARS) reason = reason.substring(0, REASON_CHARS);
      String name = phase.name + "-" + task.partitionId();
      boolean counts = ((TaskFailedReason) end.reason()).countTowardsTaskFailures();
      say(
          "taskFailed",
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
    try (OutputStream out = file.getFileSystem(conf).create(file, true)) {
      out.write((map.told() + '\n' + reduce.told() + '\n').getBytes(StandardCharsets.US_ASCII));
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

  private static final class Phase {
    final String name;
    final int tasks;
    final BitSet done = new BitSet();
    long toldMs = Long.MIN_VALUE / 2;

    Phase(String name, int tasks) {
      this.name = name;
      this.tasks = tasks;
    }

    String told() {
      return line(name, "done", Integer.toString(done.cardinality()));
    }
  }
}
