package dev.sheaf.hosted;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;

/**
 * What a task program says on its standard error: goes on to the executor's, line by line; the last of it
 * and the error that it tells of are kept for the exception of a task that fails.
 */
final class ChildLog extends Thread {
  static final String ERROR = "sheaf-error: ";
  static final String LOG = "sheaf-log: ";
  private static final String STATUS = "sheaf-reporter:";
  private static final int TAIL_CHARS = 8 * 1024;
  private static final int LINE_BYTES = 8 * 1024;
  private static final int ERROR_BYTES = 1024 * 1024;
  private static final long SETTLE_MS = 2_000;

  private final InputStream from;
  private final String tag;
  private final ArrayDeque<String> tail = new ArrayDeque<>();
  private int tailChars;
  private String error;

  /** @param tag stands in front of each line, for the client; null: lines are not for it */
  ChildLog(InputStream from, String tag) {
    super("sheaf-log");
    setDaemon(true);
    this.from = from;
    this.tag = tag;
  }

  @Override
  public void run() {
    ByteArrayOutputStream line = new ByteArrayOutputStream();
    byte[] buffer = new byte[LINE_BYTES];
    int limit = LINE_BYTES;
    try {
      for (int count = from.read(buffer); count >= 0; count = from.read(buffer)) {
        for (int at = 0; at < count; at++) {
          boolean whole = buffer[at] == '\n';
          if (!whole) line.write(buffer[at]);
          // Only the line of the error may be long: half of it would be nothing.
          if (line.size() == LINE_BYTES && limit == LINE_BYTES && text(line).startsWith(ERROR)) limit = ERROR_BYTES;
          if (whole || line.size() >= limit) {
            take(text(line));
            line.reset();
            limit = LINE_BYTES;
          }
        }
      }
    } catch (IOException closed) {
      // The child was ended, and its pipe with it.
    }
    if (line.size() > 0) take(text(line));
  }

  private static String text(ByteArrayOutputStream line) {
    return new String(line.toByteArray(), StandardCharsets.UTF_8);
  }

  private synchronized void take(String line) {
    if (line.startsWith(STATUS)) return;
    if (line.startsWith(ERROR)) {
      error = line;
      return;
    }
    if (tag != null) print(System.out, LOG + tag + ' ' + line);
    else print(System.err, line);
    tail.addLast(line);
    tailChars += line.length() + 1;
    while (tailChars > TAIL_CHARS) tailChars -= tail.removeFirst().length() + 1;
  }

  /** In UTF-8, whatever this process takes for the encoding of its output; at once, since tasks share it. */
  private static void print(PrintStream to, String line) {
    byte[] bytes = (line + '\n').getBytes(StandardCharsets.UTF_8);
    to.write(bytes, 0, bytes.length);
    to.flush();
  }

  /** Waits for the rest; not for a process that the child has left behind with this pipe open. */
  void settle() throws InterruptedException {
    join(SETTLE_MS);
  }

  synchronized String told() {
    StringBuilder text = new StringBuilder();
    if (error != null) text.append('\n').append(error);
    for (String line : tail) text.append('\n').append(line);
    return text.toString();
  }
}
