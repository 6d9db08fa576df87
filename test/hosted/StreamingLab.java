import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.streaming.StreamJob;
import org.apache.hadoop.util.ToolRunner;

/**
 * Hadoop Streaming, one job after the other in this JVM: each line of standard input is a command line, its words
 * parted by U+001F; each is answered by a line with the exit code.
 */
public final class StreamingLab {
  private StreamingLab() {}

  public static void main(String[] args) throws Exception {
    PrintStream answers = new PrintStream(new FileOutputStream(FileDescriptor.out), true, "UTF-8");
    // What Hadoop prints is for people.
    System.setOut(System.err);
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      int code;
      try {
        code = ToolRunner.run(new Configuration(), new StreamJob(), line.split("\u001f", -1));
      } catch (Throwable error) {
        error.printStackTrace();
        code = 255;
      }
      answers.println(code);
    }
  }
}
