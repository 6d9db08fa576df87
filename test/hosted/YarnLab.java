import java.io.BufferedReader;
import java.io.File;
import java.io.FileWriter;
import java.io.InputStreamReader;
import java.io.Writer;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.mapred.ShuffleHandler;
import org.apache.hadoop.service.Service;
import org.apache.hadoop.yarn.server.MiniYARNCluster;
import org.apache.hadoop.yarn.server.nodemanager.ContainerExecutor;
import org.apache.hadoop.yarn.server.nodemanager.DefaultContainerExecutor;

/**
 * HDFS and YARN in one JVM. `args`: a directory for data, one for the configuration of clients, what
 * containers have for a class path, three ports of the history server, and how many NodeManagers there are;
 * 0: they have JVMs of their own. So has the history server: of web pages of YARN's in one JVM those of the
 * last one started answer, at all addresses. Writes the configuration, prints a line when all are up, and ends
 * when there is nothing more to read.
 */
public class YarnLab {
  /** What clients must know, beside where HDFS is. */
  private static final String[] TOLD = {
    "mapreduce.framework.name",
    "mapreduce.application.classpath",
    "mapreduce.jobhistory.address",
    "mapreduce.jobhistory.admin.address",
    "mapreduce.jobhistory.webapp.address",
    "yarn.app.mapreduce.am.command-opts",
    "yarn.app.mapreduce.am.resource.mb",
    "yarn.app.mapreduce.am.staging-dir",
    "yarn.application.classpath",
    "yarn.log-aggregation-enable",
    "yarn.nodemanager.remote-app-log-dir",
    "yarn.resourcemanager.address",
    "yarn.resourcemanager.resource-tracker.address",
    "yarn.resourcemanager.scheduler.address",
    "yarn.resourcemanager.webapp.address",
  };

  public static void main(String[] args) {
    try {
      run(args);
      Runtime.getRuntime().halt(0);
    } catch (Throwable error) {
      error.printStackTrace();
      Runtime.getRuntime().halt(1);
    }
  }

  private static void run(String[] args) throws Exception {
    Configuration conf = new Configuration();
    conf.set("dfs.blocksize", "1048576");
    conf.set("dfs.namenode.fs-limits.min-block-size", "1024");
    conf.set("dfs.namenode.safemode.extension", "0");
    conf.set("dfs.permissions.enabled", "false");
    conf.set("dfs.datanode.hostname", "localhost");
    conf.set("hadoop.tmp.dir", args[0]);
    conf.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, args[0] + "/hdfs");
    // Their directories lie below it.
    System.setProperty("test.build.data", args[0]);
    new File(args[0]).mkdirs();
    String[] hosts = {"localhost"};
    MiniDFSCluster hdfs = new MiniDFSCluster.Builder(conf).numDataNodes(1).hosts(hosts).build();
    hdfs.waitActive();
    conf.set("fs.defaultFS", hdfs.getURI().toString());
    conf.set("yarn.app.mapreduce.am.staging-dir", "/staging");
    // Hadoop 3.3 does not allow itself what newer Javas forbid.
    conf.set(
        "yarn.app.mapreduce.am.command-opts",
        "-Xmx400m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 --add-opens=java.base/java.lang=ALL-UNNAMED");
    conf.set("yarn.app.mapreduce.am.resource.mb", "1024");
    conf.set("yarn.application.classpath", args[2]);
    conf.set("mapreduce.application.classpath", args[2]);
    conf.set("mapreduce.framework.name", "yarn");
    conf.set("mapreduce.jobhistory.address", "localhost:" + args[3]);
    conf.set("mapreduce.jobhistory.webapp.address", "localhost:" + args[4]);
    conf.set("mapreduce.jobhistory.admin.address", "localhost:" + args[5]);
    conf.set("yarn.log-aggregation-enable", "true");
    conf.set("yarn.nodemanager.remote-app-log-dir", "/logs");
    conf.set("yarn.nodemanager.aux-services", ShuffleHandler.MAPREDUCE_SHUFFLE_SERVICEID);
    conf.setClass(
        "yarn.nodemanager.aux-services." + ShuffleHandler.MAPREDUCE_SHUFFLE_SERVICEID + ".class",
        ShuffleHandler.class,
        Service.class);
    conf.setInt(ShuffleHandler.SHUFFLE_PORT_CONFIG_KEY, 0);
    conf.setClass(
        "yarn.nodemanager.container-executor.class", DefaultContainerExecutor.class, ContainerExecutor.class);
    conf.set("yarn.nodemanager.pmem-check-enabled", "false");
    conf.set("yarn.nodemanager.vmem-check-enabled", "false");
    conf.set("yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage", "99");
    conf.setInt("yarn.minicluster.yarn.nodemanager.resource.memory-mb", 6144);
    conf.setInt("yarn.scheduler.minimum-allocation-mb", 512);
    int nodes = Integer.parseInt(args[6]);
    // Those with a JVM of their own are lost in tests, which wait until that is seen.
    if (nodes == 0) conf.set("yarn.nm.liveness-monitor.expiry-interval-ms", "20000");
    MiniYARNCluster yarn = new MiniYARNCluster("lab", nodes, 1, 1);
    yarn.init(conf);
    yarn.start();
    Configuration running = yarn.getConfig();
    Configuration core = new Configuration(false);
    core.set("fs.defaultFS", hdfs.getURI().toString());
    core.set("hadoop.tmp.dir", args[0] + "/client");
    core.set("dfs.namenode.http-address", "localhost:" + hdfs.getNameNode().getHttpAddress().getPort());
    write(core, args[1], "core-site.xml");
    // Each in the file that is read last of those that could say so.
    for (String file : new String[] {"mapred-site.xml", "yarn-site.xml"}) {
      Configuration site = new Configuration(false);
      for (String name : TOLD)
        if (file.startsWith(name.startsWith("mapreduce.") || name.startsWith("yarn.app.") ? "mapred" : "yarn"))
          site.set(name, running.get(name));
      write(site, args[1], file);
    }
    System.out.println("up");
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    while (in.readLine() != null) {}
  }

  private static void write(Configuration site, String directory, String file) throws Exception {
    try (Writer out = new FileWriter(new File(directory, file))) {
      site.writeXml(out);
    }
  }
}
