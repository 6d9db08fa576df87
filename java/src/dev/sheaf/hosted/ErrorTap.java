package dev.sheaf.hosted;

import java.io.ByteArrayOutputStream;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.mapred.JobConf;

/**
 * Brings what a task says of its failure to where the client finds it at once: a line of its standard error
 * that begins with "sheaf-error: " becomes a file, named after the attempt, in the directory that the
 * property "sheaf.errors" names. What the engine says by itself of such an attempt is that a subprocess has failed;
 * logs of containers are there minutes later, or not at all. For JVMs that run one task.
 */
final class ErrorTap extends FilterOutputStream {
  private static final byte[] PREFIX = "sheaf-error: ".getBytes(StandardCharsets.UTF_8);
  private static final int LINE_BYTES_MAX = 1 << 20;
  private static final long SETTLE_MS = 10_000;
  private static boolean isInstalled;

  private final JobConf conf;
  private final Path file;
  private final ByteArrayOutputStream line = new ByteArrayOutputStream();

  private ErrorTap(OutputStream to, JobConf conf, Path file) {
    super(to);
    this.conf = conf;
    this.file = file;
  }

  static synchronized void install(JobConf conf) throws IOException {
    String directory = conf.getRaw("sheaf.errors");
    String attempt = conf.get("mapreduce.task.attempt.id");
    if (isInstalled || directory == null || attempt == null) return;
    isInstalled = true;
    OutputStream tap = new ErrorTap(System.err, conf, new Path(directory, attempt));
    System.setErr(new PrintStream(tap, true, "UTF-8"));
  }

  /**
   * At the end of a task, waits for what its program has said last. Streaming does not where that has failed,
   * and then ends this JVM. What the program has left running may hold its standard error open: not for ever.
   */
  static void settle() {
    if (!isInstalled) return;
    long endMs = System.nanoTime() / 1_000_000 + SETTLE_MS;
    for (Thread one : Thread.getAllStackTraces().keySet()) {
      if (!one.getClass().getName().equals("org.apache.hadoop.streaming.PipeMapRed$MRErrorThread")) continue;
      try {
        one.join(Math.max(1, endMs - System.nanoTime() / 1_000_000));
      } catch (InterruptedException error) {
        Thread.currentThread().interrupt();
        return;
      }
    }
  }

  @Override
  public void write(int one) throws IOException {
    write(new byte[] {(byte) one}, 0, 1);
  }

  @Override
  public synchronized void write(byte[] bytes, int from, int count) throws IOException {
    out.write(bytes, from, count);
    for (int i = from; i < from + count; i++) {
      if (bytes[i] == '\n') {
        finish();
      } else if (line.size() < LINE_BYTES_MAX) {
        line.write(bytes[i]);
      }
    }
  }

  private void finish() {
    byte[] told = line.toByteArray();
    line.reset();
    if (told.length < PREFIX.length) return;
    for (int i = 0; i < PREFIX.length; i++) if (told[i] != PREFIX[i]) return;
    try (OutputStream to = file.getFileSystem(conf).create(file, true)) {
      to.write(told, PREFIX.length, told.length - PREFIX.length);
    } catch (IOException error) {
      new PrintStream(out, true).println("sheaf: " + file + " cannot be written: " + error);
    }
  }
}
