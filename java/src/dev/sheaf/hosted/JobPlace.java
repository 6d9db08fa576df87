package dev.sheaf.hosted;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileUtil;
import org.apache.hadoop.fs.Path;
import org.apache.spark.SparkEnv;
import org.apache.spark.TaskContext;
import org.apache.spark.deploy.SparkHadoopUtil;
import org.apache.spark.util.TaskCompletionListener;

/**
 * Where an executor has a job's own files: fetched and unpacked for its first task there, and removed when
 * another job's come and no task needs them. Spark's own archives are those of an application: an executor
 * that comes late would want the archives of all jobs, also of those that are over and gone.
 */
final class JobPlace {
  private static final Map<String, JobPlace> PLACES = new HashMap<>();

  private final File directory;
  private int tasks;

  private JobPlace(File directory) {
    this.directory = directory;
  }

  /**
   * A home with the job's own files, for as long as the task runs.
   *
   * @param archive address of a .tgz
   * @param shared directory with the rest of the home, node/ and sheaf/
   */
  static synchronized File take(String archive, File shared, TaskContext task) throws IOException {
    JobPlace place = PLACES.get(archive);
    if (place == null) {
      removeUnused();
      place = new JobPlace(unpack(archive, shared));
      PLACES.put(archive, place);
    }
    place.tasks++;
    JobPlace taken = place;
    task.addTaskCompletionListener(
        new TaskCompletionListener() {
          @Override
          public void onTaskCompletion(TaskContext ended) {
            release(taken);
          }
        });
    return place.directory;
  }

  private static synchronized void release(JobPlace place) {
    place.tasks--;
  }

  private static void removeUnused() {
    for (Iterator<JobPlace> all = PLACES.values().iterator(); all.hasNext(); ) {
      JobPlace one = all.next();
      if (one.tasks > 0) continue;
      all.remove();
      NodePipe.remove(one.directory);
    }
  }

  private static File unpack(String archive, File shared) throws IOException {
    File disk = SparkEnv.get().blockManager().diskBlockManager().localDirs()[0];
    File directory = Files.createTempDirectory(disk.toPath(), "sheaf-job-").toFile();
    try {
      Configuration conf = SparkHadoopUtil.get().newConfiguration(SparkEnv.get().conf());
      Path from = new Path(archive);
      File packed = new File(directory, "job.tgz");
      from.getFileSystem(conf).copyToLocalFile(false, from, new Path(packed.toURI()), true);
      FileUtil.unTar(packed, new File(directory, "job"));
      Files.delete(packed.toPath());
      for (String name : new String[] {"node", "sheaf"}) {
        Files.createSymbolicLink(new File(directory, name).toPath(), new File(shared, name).getAbsoluteFile().toPath());
      }
      return directory;
    } catch (IOException | RuntimeException error) {
      NodePipe.remove(directory);
      throw error;
    }
  }
}
