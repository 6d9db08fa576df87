package dev.sheaf.hosted;

import java.io.BufferedReader;
import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.BytesWritable;
import org.apache.hadoop.mapred.InputFormat;
import org.apache.hadoop.mapred.InputSplit;
import org.apache.hadoop.mapred.JobConf;
import org.apache.hadoop.mapred.RecordReader;
import org.apache.hadoop.mapred.Reporter;

/**
 * Splits that sheaf has planned, which the engine is to place near their data and not to read. The file that
 * the property "sheaf.splits" names has a line for each: hosts with commas between them, a tab, a text. Each
 * gives one record: the number of the line (int32, big-endian) and the text.
 */
public final class SplitInputFormat implements InputFormat<BytesWritable, BytesWritable> {
  public static final String SPLITS = "sheaf.splits";

  @Override
  public InputSplit[] getSplits(JobConf conf, int wanted) throws IOException {
    String name = conf.getRaw(SPLITS);
    if (name == null) throw new IOException(SPLITS + " is not set");
    Path path = new Path(name);
    List<InputSplit> splits = new ArrayList<>();
    try (BufferedReader lines = new BufferedReader(
        new InputStreamReader(path.getFileSystem(conf).open(path), StandardCharsets.UTF_8))) {
      for (String line; (line = lines.readLine()) != null;) {
        int tab = line.indexOf('\t');
        if (tab < 0) throw new IOException(name + ": line " + (splits.size() + 1) + " has no tab");
        String[] hosts = tab == 0 ? new String[0] : line.substring(0, tab).split(",");
        splits.add(new Line(splits.size(), hosts, line.substring(tab + 1)));
      }
    }
    if (splits.isEmpty()) throw new IOException(name + " has no lines");
    return splits.toArray(new InputSplit[0]);
  }

  @Override
  public RecordReader<BytesWritable, BytesWritable> getRecordReader(
      InputSplit split, JobConf conf, Reporter told) throws IOException {
    ErrorTap.install(conf);
    return new OneRecord((Line) split);
  }

  /** A line of the file. */
  public static final class Line implements InputSplit {
    private int number;
    private String[] hosts;
    private byte[] text;

    /** For Hadoop, which reads the fields then. */
    public Line() {}

    Line(int number, String[] hosts, String text) {
      this.number = number;
      this.hosts = hosts;
      this.text = text.getBytes(StandardCharsets.UTF_8);
    }

    /** Equal for all, since tasks are numbered by it; not 0, since Spark leaves out what is empty. */
    @Override
    public long getLength() {
      return 1;
    }

    @Override
    public String[] getLocations() {
      return hosts;
    }

    @Override
    public void write(DataOutput out) throws IOException {
      // Not the hosts: they matter to those who place tasks, who have them.
      out.writeInt(number);
      out.writeInt(text.length);
      out.write(text);
    }

    @Override
    public void readFields(DataInput in) throws IOException {
      number = in.readInt();
      text = new byte[in.readInt()];
      in.readFully(text);
      hosts = new String[0];
    }
  }

  private static final class OneRecord implements RecordReader<BytesWritable, BytesWritable> {
    private final Line line;
    private boolean isRead;

    OneRecord(Line line) {
      this.line = line;
    }

    @Override
    public boolean next(BytesWritable key, BytesWritable value) {
      if (isRead) return false;
      isRead = true;
      byte[] number = ByteBuffer.allocate(4).putInt(line.number).array();
      key.set(number, 0, number.length);
      value.set(line.text, 0, line.text.length);
      return true;
    }

    @Override
    public BytesWritable createKey() {
      return new BytesWritable();
    }

    @Override
    public BytesWritable createValue() {
      return new BytesWritable();
    }

    @Override
    public long getPos() {
      return isRead ? 1 : 0;
    }

    @Override
    public float getProgress() {
      return isRead ? 1 : 0;
    }

    @Override
    public void close() {
      ErrorTap.settle();
    }
  }
}
