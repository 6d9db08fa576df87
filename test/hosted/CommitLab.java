import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardOpenOption;
import org.apache.hadoop.mapred.FileOutputCommitter;
import org.apache.hadoop.mapred.JobConf;
import org.apache.hadoop.mapred.JobContext;
import org.apache.hadoop.mapred.TaskAttemptContext;

/**
 * The committer of sheaf's jobs, which fails so many times (lab.times) at one place (lab.fails): before the
 * output of partition 1 is committed, after that, or when that of the job is. It says so in a file (lab.log).
 */
public final class CommitLab extends FileOutputCommitter {
  @Override
  public void commitTask(TaskAttemptContext context) throws IOException {
    boolean isAsked = context.getTaskAttemptID().getTaskID().getId() == 1;
    if (isAsked) fail(context.getJobConf(), "before");
    super.commitTask(context);
    if (isAsked) fail(context.getJobConf(), "after");
  }

  @Override
  public void commitJob(JobContext context) throws IOException {
    fail(context.getJobConf(), "job");
    super.commitJob(context);
  }

  private static void fail(JobConf conf, String place) throws IOException {
    if (!place.equals(conf.get("lab.fails"))) return;
    Path log = Paths.get(conf.get("lab.log"));
    if (Files.size(log) >= conf.getInt("lab.times", 0)) return;
    Files.write(log, "x".getBytes(StandardCharsets.UTF_8), StandardOpenOption.APPEND);
    throw new IOException("no space left for the commit of " + place);
  }
}
