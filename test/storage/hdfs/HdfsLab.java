import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.net.HttpURLConnection;
import java.net.ServerSocket;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.http.server.HttpFSServerWebServer;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.hdfs.MiniDFSNNTopology;
import org.apache.hadoop.security.authorize.ProxyUsers;

/**
 * Two NameNodes, a DataNode and an HttpFS server in one JVM. `args`: a directory for data, and one for
 * configuration that is on the class path. Prints a line when they are up, and obeys the lines it reads; when
 * there are no more, it ends.
 */
public class HdfsLab {
  public static void main(String[] args) {
    try {
      run(args);
      Runtime.getRuntime().halt(0);
    } catch (Exception error) {
      error.printStackTrace();
      Runtime.getRuntime().halt(1);
    }
  }

  private static void run(String[] args) throws Exception {
    int[] ports = freePorts(5);
    String user = System.getProperty("user.name");
    String[][] settings = {
      {"dfs.nameservices", "lab"},
      {"dfs.ha.namenodes.lab", "nn1,nn2"},
      {"dfs.namenode.rpc-address.lab.nn1", "127.0.0.1:" + ports[0]},
      {"dfs.namenode.rpc-address.lab.nn2", "127.0.0.1:" + ports[1]},
      {"dfs.namenode.http-address.lab.nn1", "127.0.0.1:" + ports[2]},
      {"dfs.namenode.http-address.lab.nn2", "127.0.0.1:" + ports[3]},
      {"dfs.client.failover.proxy.provider.lab",
        "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"},
      {"fs.defaultFS", "hdfs://lab"},
      {"hadoop.proxyuser." + user + ".hosts", "*"},
      {"hadoop.proxyuser." + user + ".groups", "*"},
      {"dfs.blocksize", "1048576"},
      {"dfs.namenode.fs-limits.min-block-size", "1024"},
      {"dfs.ls.limit", "7"},
      {"dfs.namenode.safemode.extension", "0"},
      {"httpfs.hadoop.config.dir", args[1]},
      {"httpfs.proxyuser." + user + ".hosts", "*"},
      {"httpfs.http.hostname", "127.0.0.1"},
      {"httpfs.http.port", "" + ports[4]},
    };
    Configuration conf = new Configuration();
    StringBuilder xml = new StringBuilder("<configuration>\n");
    for (String[] one : settings) {
      conf.set(one[0], one[1]);
      xml.append("<property><name>" + one[0] + "</name><value>" + one[1] + "</value></property>\n");
    }
    for (String file : new String[] {"core-site.xml", "httpfs-site.xml"})
      Files.writeString(Path.of(args[1], file), xml + "</configuration>\n");
    conf.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, new File(args[0]).getPath());
    MiniDFSNNTopology topology = new MiniDFSNNTopology().addNameservice(new MiniDFSNNTopology.NSConf("lab")
      .addNN(new MiniDFSNNTopology.NNConf("nn1").setIpcPort(ports[0]).setHttpPort(ports[2]))
      .addNN(new MiniDFSNNTopology.NNConf("nn2").setIpcPort(ports[1]).setHttpPort(ports[3])));
    MiniDFSCluster cluster = new MiniDFSCluster.Builder(conf).nnTopology(topology).numDataNodes(1).build();
    cluster.transitionToActive(0);
    cluster.waitActive();
    startHttpFs(ports[4], args[1], user);
    // HttpFS has replaced it by its own when the first request came.
    ProxyUsers.refreshSuperUserGroupsConfiguration(conf);
    System.out.println("up " + ports[2] + " " + ports[3] + " " + ports[4]);
    FSDataOutputStream open = null;
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = in.readLine()) != null;) {
      String[] words = line.split(" ", 2);
      switch (words[0]) {
        case "active" -> {
          int to = Integer.parseInt(words[1]);
          cluster.transitionToStandby(1 - to);
          cluster.transitionToActive(to);
        }
        // A file that stays open, with bytes that are flushed, and in no finished block.
        case "write" -> {
          open = cluster.getFileSystem(0).create(new org.apache.hadoop.fs.Path(words[1]));
          open.writeBytes("one\ntwo\n");
          open.hflush();
        }
        case "close" -> open.close();
        default -> throw new IllegalArgumentException(line);
      }
      System.out.println("done");
    }
  }

  private static void startHttpFs(int port, String directory, String user) throws Exception {
    for (String one : new String[] {"home", "config", "log", "temp"})
      System.setProperty("httpfs." + one + ".dir", directory);
    new Thread(() -> {
      try {
        HttpFSServerWebServer.main(new String[0]);
      } catch (Exception error) {
        error.printStackTrace();
      }
    }).start();
    URL first = new URL("http://127.0.0.1:" + port + "/webhdfs/v1/?op=LISTSTATUS&user.name=" + user);
    for (;;) {
      try {
        ((HttpURLConnection) first.openConnection()).getResponseCode();
        return;
      } catch (java.net.ConnectException error) {
        Thread.sleep(20);
      }
    }
  }

  private static int[] freePorts(int count) throws Exception {
    ServerSocket[] sockets = new ServerSocket[count];
    int[] ports = new int[count];
    for (int i = 0; i < count; i++) ports[i] = (sockets[i] = new ServerSocket(0)).getLocalPort();
    for (ServerSocket socket : sockets) socket.close();
    return ports;
  }
}
