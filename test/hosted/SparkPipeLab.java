import dev.sheaf.hosted.NodePipe;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.apache.spark.SparkConf;
import org.apache.spark.api.java.JavaPairRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.api.java.function.PairFunction;
import scala.Tuple2;

/**
 * `args`: a directory, then a task each: records, kilobytes of each, a home below the directory, and, where
 * reading is to fail behind the records, a word more, with ":" between them. Prints a line for each: the
 * frames that came, or the message of what was thrown, without line ends.
 */
public class SparkPipeLab {
  public static void main(String[] args) {
    try (JavaSparkContext spark = new JavaSparkContext(new SparkConf())) {
      for (int at = 1; at < args.length; at++) {
        String[] words = args[at].split(":");
        int count = Integer.parseInt(words[0]);
        List<Integer> records = new ArrayList<>(Collections.nCopies(count, Integer.parseInt(words[1])));
        if (words.length > 3) records.add(-1);
        System.out.println("told: " + outcome(spark, args[0] + "/" + words[2], records));
      }
    }
  }

  private static String outcome(JavaSparkContext spark, String home, List<Integer> records) {
    try {
      JavaPairRDD<byte[], byte[]> input = spark.parallelize(records, 1).mapToPair(new Make());
      long count = 0;
      long bytes = 0;
      NodePipe<byte[], byte[]> pipe = new NodePipe<>(home, "", "map", "lab");
      for (Tuple2<byte[], byte[]> frame : input.mapPartitionsToPair(pipe).collect()) {
        if (!Arrays.equals(frame._1(), new byte[] {'k', 0, 10, (byte) 255})) return "another key";
        for (byte one : frame._2()) if (one != 'v') return "another value";
        count++;
        bytes += frame._2().length;
      }
      return count + " frames, " + bytes + " bytes";
    } catch (Exception error) {
      return String.valueOf(error.getMessage()).replace('\n', '|');
    }
  }

  static final class Make implements PairFunction<Integer, byte[], byte[]>, Serializable {
    @Override
    public Tuple2<byte[], byte[]> call(Integer kilobytes) {
      if (kilobytes < 0) throw new IllegalStateException("the shuffle is lost");
      byte[] value = new byte[kilobytes * 1000];
      Arrays.fill(value, (byte) 'v');
      return new Tuple2<>(new byte[] {'k', 0, 10, (byte) 255}, value);
    }
  }
}
