package dev.sheaf.hosted;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.Set;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.BytesWritable;
import org.apache.hadoop.mapred.FileOutputCommitter;
import org.apache.hadoop.mapred.FileOutputFormat;
import org.apache.hadoop.mapred.JobConf;
import org.apache.hadoop.mapred.RecordWriter;
import org.apache.hadoop.mapred.Reporter;
import org.apache.hadoop.util.Progressable;

/**
 * Files by name: a record's key is a name below the output directory (UTF-8), its value the next bytes of
 * that file. The records of a file come one after the other; an empty value makes an empty file. Files lie in
 * the attempt's own directory until its committer moves them.
 */
public final class NamedOutputFormat extends FileOutputFormat<BytesWritable, BytesWritable> {
  private static final String ALGORITHM = "mapreduce.fileoutputcommitter.algorithm.version";

  @Override
  public void checkOutputSpecs(FileSystem ignored, JobConf conf) throws IOException {
    super.checkOutputSpecs(ignored, conf);
    checkCommitter(conf);
  }

  /** With any other one, files of attempts that have failed or lost a race can be left in the output. */
  private static void checkCommitter(JobConf conf) throws IOException {
    if (!(conf.getOutputCommitter() instanceof FileOutputCommitter))
      throw new IOException("sheaf needs mapred.output.committer.class to be FileOutputCommitter, but it is "
          + conf.getOutputCommitter().getClass().getName());
    if (conf.getInt(ALGORITHM, 2) != 1)
      throw new IOException("sheaf needs " + ALGORITHM + " to be 1, but it is " + conf.get(ALGORITHM));
  }

  @Override
  public RecordWriter<BytesWritable, BytesWritable> getRecordWriter(
      FileSystem ignored, JobConf conf, String name, Progressable progress) throws IOException {
    ErrorTap.install(conf);
    checkCommitter(conf);
    return new Writer(getTaskOutputPath(conf, "files").getParent(), conf, progress);
  }

  private static final class Writer implements RecordWriter<BytesWritable, BytesWritable> {
    private final Path directory;
    private final FileSystem files;
    private final Progressable progress;
    private final Set<String> finished = new HashSet<>();
    private String name;
    private OutputStream file;

    Writer(Path directory, JobConf conf, Progressable progress) throws IOException {
      this.directory = directory;
      this.files = directory.getFileSystem(conf);
      this.progress = progress;
    }

    @Override
    public void write(BytesWritable key, BytesWritable value) throws IOException {
      String next = new String(key.getBytes(), 0, key.getLength(), StandardCharsets.UTF_8);
      if (!next.equals(name)) open(next);
      file.write(value.getBytes(), 0, value.getLength());
      progress.progress();
    }

    private void open(String next) throws IOException {
      finish();
      checkName(next);
      if (!finished.add(next)) throw new IOException("more bytes of " + next + " come behind another file");
      file = files.create(new Path(directory, next), false);
      name = next;
    }

    private void finish() throws IOException {
      OutputStream last = file;
      file = null;
      name = null;
      if (last != null) last.close();
    }

    @Override
    public void close(Reporter told) throws IOException {
      ErrorTap.settle();
      finish();
    }
  }

  /** Below the directory, whatever is in it; of a colon the committer makes a scheme. */
  private static void checkName(String name) throws IOException {
    boolean isFine = name.indexOf('\0') < 0 && name.indexOf(':') < 0;
    for (String part : name.split("/", -1))
      isFine &= !part.isEmpty() && !part.equals(".") && !part.equals("..");
    if (!isFine) throw new IOException("no name of an output file: " + name);
  }
}
