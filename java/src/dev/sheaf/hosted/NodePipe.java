package dev.sheaf.hosted;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.hadoop.io.BytesWritable;
import org.apache.spark.SparkEnv;
import org.apache.spark.SparkFiles;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.function.PairFlatMapFunction;
import org.apache.spark.util.TaskCompletionListener;
import scala.Tuple2;

/**
 * One task of Spark is one child, sheaf's task program: what the task reads is written to it as frames, and
 * the frames that it writes are what the task gives. Both flow at once, and nothing but a frame each way is
 * held in memory.
 */
public final class NodePipe<K, V> implements PairFlatMapFunction<Iterator<Tuple2<K, V>>, byte[], byte[]> {
  private static final long serialVersionUID = 1;
  private static final int BUFFER_BYTES = 128 * 1024;
  private static final long LOOK_MS = 200;
  private static final long END_MS = 10_000;

  private final String home;
  private final String archive;
  private final String phase;
  private final String tag;

  /**
   * @param home where sheaf/run.sh lies: an absolute path, or "." for where Spark has unpacked archives
   * @param archive address of what the job has of its own; "" where it lies in home/job
   * @param phase "map" or "reduce"
   * @param tag with it what the child says is printed for the client to tell it from Spark's own log; or null
   */
  public NodePipe(String home, String archive, String phase, String tag) {
    this.home = home;
    this.archive = archive;
    this.phase = phase;
    this.tag = tag;
  }

  @Override
  public Iterator<Tuple2<byte[], byte[]>> call(Iterator<Tuple2<K, V>> input) throws IOException {
    TaskContext task = TaskContext.get();
    File place = home.equals(".") ? unpacked() : new File(home);
    if (!archive.isEmpty()) place = JobPlace.take(archive, place, task);
    File directory = scratch(task);
    File script = new File(new File(place, "sheaf"), "run.sh");
    ProcessBuilder program = new ProcessBuilder("/bin/sh", script.getAbsolutePath(), phase).directory(directory);
    program.environment().put("SHEAF_ENGINE_ATTEMPT", String.valueOf(task.attemptNumber()));
    Process child;
    try {
      child = program.start();
    } catch (IOException error) {
      remove(directory);
      throw error;
    }
    ChildLog log = new ChildLog(child.getErrorStream(), tag);
    Feed<K, V> feed = new Feed<>(input, child, task);
    Child running = new Child(child, feed, directory, task);
    task.addTaskCompletionListener(running);
    log.start();
    feed.start();
    running.start();
    return new Frames(child, feed, log, task);
  }

  /** Where archives lie: Spark's directory of files, or with YARN the directory of the container. */
  private static File unpacked() {
    File files = new File(SparkFiles.getRootDirectory());
    return new File(files, "sheaf").exists() ? files : new File(".");
  }

  /**
   * A directory of the task's own on the disks that Spark was given for its data; it goes with the executor
   * at the latest.
   */
  private static File scratch(TaskContext task) throws IOException {
    File[] disks = SparkEnv.get().blockManager().diskBlockManager().localDirs();
    File disk = disks[(int) (task.taskAttemptId() % disks.length)];
    return Files.createTempDirectory(disk.toPath(), "sheaf-task-").toFile();
  }

  static void remove(File directory) {
    File[] inside = Files.isSymbolicLink(directory.toPath()) ? null : directory.listFiles();
    if (inside != null) for (File one : inside) remove(one);
    Path path = directory.toPath();
    try {
      Files.deleteIfExists(path);
    } catch (IOException error) {
      System.err.println("sheaf: " + path + " cannot be removed: " + error);
    }
  }

  /** Sees that the child ends with its task, also one that is killed while it waits for the child. */
  private static final class Child extends Thread implements TaskCompletionListener {
    private final Process process;
    private final Thread feed;
    private final File directory;
    private final TaskContext task;

    Child(Process process, Thread feed, File directory, TaskContext task) {
      super("sheaf-child");
      setDaemon(true);
      this.process = process;
      this.feed = feed;
      this.directory = directory;
      this.task = task;
    }

    @Override
    public void run() {
      try {
        // Reading from a child's pipe cannot be interrupted: without its end the task would go on.
        while (!process.waitFor(LOOK_MS, TimeUnit.MILLISECONDS)) {
          if (task.isInterrupted()) process.destroyForcibly();
        }
      } catch (InterruptedException error) {
        process.destroyForcibly();
      }
    }

    @Override
    public void onTaskCompletion(TaskContext ended) {
      process.destroyForcibly();
      // It may wait for a shuffle that nobody fetches any more.
      feed.interrupt();
      boolean interrupted = Thread.interrupted();
      try {
        process.waitFor(END_MS, TimeUnit.MILLISECONDS);
        feed.join(END_MS);
      } catch (InterruptedException error) {
        interrupted = true;
      }
      remove(directory);
      if (interrupted) Thread.currentThread().interrupt();
    }
  }

  /** Writes what the task reads to the child. */
  private static final class Feed<K, V> extends Thread {
    private final Iterator<Tuple2<K, V>> input;
    private final Process child;
    private final TaskContext task;
    /** What reading has thrown. Spark must see this very exception: a lost shuffle file is told by its class. */
    final AtomicReference<Throwable> inputFailure = new AtomicReference<>();
    /** The child did not take all of it. */
    volatile IOException notTaken;

    Feed(Iterator<Tuple2<K, V>> input, Process child, TaskContext task) {
      super("sheaf-feed");
      setDaemon(true);
      this.input = input;
      this.child = child;
      this.task = task;
    }

    @Override
    public void run() {
      // Reading a shuffle asks for the task of its thread.
      org.apache.spark.TaskContext$.MODULE$.setTaskContext(task);
      DataOutputStream out = new DataOutputStream(new BufferedOutputStream(child.getOutputStream(), BUFFER_BYTES));
      try {
        while (input.hasNext()) {
          Tuple2<K, V> record = input.next();
          try {
            write(out, record._1());
            write(out, record._2());
          } catch (IOException error) {
            notTaken = error;
            return;
          }
        }
      } catch (Throwable error) {
        inputFailure.set(error);
        // Its input must not end as if that were all.
        child.destroyForcibly();
        return;
      }
      try {
        out.close();
      } catch (IOException error) {
        notTaken = error;
      }
    }

    private static void write(DataOutputStream out, Object part) throws IOException {
      if (part instanceof BytesWritable) {
        BytesWritable bytes = (BytesWritable) part;
        out.writeInt(bytes.getLength());
        out.write(bytes.getBytes(), 0, bytes.getLength());
      } else {
        byte[] bytes = (byte[]) part;
        out.writeInt(bytes.length);
        out.write(bytes);
      }
    }
  }

  /** The frames that the child writes; at their end, how it ended. */
  private static final class Frames implements Iterator<Tuple2<byte[], byte[]>> {
    private final Process child;
    private final Feed<?, ?> feed;
    private final ChildLog log;
    private final TaskContext task;
    private final DataInputStream in;
    private Tuple2<byte[], byte[]> next;
    private boolean ended;

    Frames(Process child, Feed<?, ?> feed, ChildLog log, TaskContext task) {
      this.child = child;
      this.feed = feed;
      this.log = log;
      this.task = task;
      this.in = new DataInputStream(new BufferedInputStream(child.getInputStream(), BUFFER_BYTES));
    }

    @Override
    public boolean hasNext() {
      if (next == null && !ended) next = read();
      return next != null;
    }

    @Override
    public Tuple2<byte[], byte[]> next() {
      if (!hasNext()) throw new NoSuchElementException();
      Tuple2<byte[], byte[]> frame = next;
      next = null;
      return frame;
    }

    private Tuple2<byte[], byte[]> read() {
      IOException broken = null;
      try {
        int first = in.read();
        if (first >= 0) {
          byte[] key = part((first << 24) | (in.readUnsignedByte() << 16) | in.readUnsignedShort());
          return new Tuple2<>(key, part(in.readInt()));
        }
      } catch (IOException error) {
        broken = error;
      }
      ended = true;
      finish(broken);
      return null;
    }

    private byte[] part(int length) throws IOException {
      if (length < 0) throw new IOException("a frame of " + length + " bytes");
      byte[] bytes = new byte[length];
      in.readFully(bytes);
      return bytes;
    }

    /** The first cause comes first: what reading threw, that Spark has killed the task, how the child ended. */
    private void finish(IOException broken) {
      try {
        if (broken != null && child.isAlive() && !child.waitFor(END_MS, TimeUnit.MILLISECONDS)) {
          child.destroyForcibly();
        }
        int code = child.waitFor();
        Throwable cause = feed.inputFailure.get();
        if (cause != null) NodePipe.<RuntimeException>raise(cause);
        if (task.isInterrupted()) throw new org.apache.spark.TaskKilledException();
        log.settle();
        if (code != 0) throw new ChildFailed(described(code), log);
        if (broken != null) {
          String cut = broken instanceof EOFException ? "stopped within a frame" : "sent no frame: " + broken;
          throw new ChildFailed("sheaf's task program " + cut, log);
        }
        feed.join();
        cause = feed.inputFailure.get();
        if (cause != null) NodePipe.<RuntimeException>raise(cause);
        if (feed.notTaken != null) {
          throw new ChildFailed("sheaf's task program ended before it had read its input", log);
        }
      } catch (InterruptedException error) {
        Thread.currentThread().interrupt();
        throw new org.apache.spark.TaskKilledException();
      }
    }

    private static String described(int code) {
      String how = code > 128 ? "was ended by signal " + (code - 128) : "ended with exit code " + code;
      return "sheaf's task program " + how;
    }
  }

  /** Its message holds what the child said, which is how it comes to the driver. */
  public static final class ChildFailed extends RuntimeException {
    private static final long serialVersionUID = 1;

    ChildFailed(String how, ChildLog log) {
      super(how + log.told());
    }
  }

  @SuppressWarnings("unchecked")
  private static <T extends Throwable> void raise(Throwable error) throws T {
    throw (T) error;
  }
}
