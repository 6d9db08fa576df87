package dev.sheaf.hosted;

import java.io.BufferedReader;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileAlreadyExistsException;
import org.apache.hadoop.fs.FileContext;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.Options;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.UnsupportedFileSystemException;
import org.apache.hadoop.io.IOUtils;
import org.apache.hadoop.mapred.JobClient;
import org.apache.hadoop.mapred.JobConf;
import org.apache.hadoop.mapred.JobID;
import org.apache.hadoop.mapred.RunningJob;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.hadoop.util.VersionInfo;

/**
 * Work on file systems by Hadoop's own client, so that whatever it can reach, and however one is known there,
 * is as for any other job. Reads commands, one a line, from the file given or, with "-", from standard input;
 * words have tabs between them and are percent-encoded. Answers each with a line of JSON:
 * {"ok":true,...} or {"ok":false,"error":CLASS,"message":TEXT}. From a file, the first failure ends it.
 */
public final class Files {
  private final Configuration conf;

  private Files(Configuration conf) {
    this.conf = conf;
  }

  public static void main(String[] args) throws Exception {
    PrintStream answers = new PrintStream(System.out, false, "UTF-8");
    // Whatever else prints there must not come between the answers.
    System.setOut(System.err);
    boolean isAsked = args[0].equals("-");
    InputStream from = isAsked ? System.in : new FileInputStream(args[0]);
    Files files = new Files(new JobConf());
    boolean isFine = true;
    try (BufferedReader lines = new BufferedReader(new InputStreamReader(from, StandardCharsets.UTF_8))) {
      for (String line; (line = lines.readLine()) != null && (isFine || isAsked);) {
        if (line.isEmpty()) continue;
        String[] words = line.split("\t", -1);
        for (int i = 0; i < words.length; i++) words[i] = URLDecoder.decode(words[i], "UTF-8");
        String answer;
        try {
          answer = "{\"ok\":true" + files.carryOut(words) + "}";
        } catch (Exception | LinkageError error) {
          isFine = false;
          answer = "{\"ok\":false,\"error\":" + json(error.getClass().getSimpleName()) + ",\"message\":"
              + json(String.valueOf(error.getMessage())) + "}";
        }
        answers.println(answer);
        answers.flush();
      }
    }
    System.exit(isFine || isAsked ? 0 : 1);
  }

  /** What the answer says besides: fields of JSON, each with a comma before it. */
  private String carryOut(String[] words) throws Exception {
    switch (words[0]) {
      case "set": // NAME VALUE: for the commands behind it
        conf.set(words[1], words[2]);
        return "";
      case "about": // NAME...: versions, the user's directory, and values of the configuration
        return about(words);
      case "stat": // URI
        return stat(words[1]);
      case "mkdir": // URI: and what is above it
        path(words[1]).getFileSystem(conf).mkdirs(path(words[1]));
        return "";
      case "put": // LOCAL URI: whole or not at all; the file must not be there
        put(new File(words[1]), path(words[2]));
        return "";
      case "get": // URI LOCAL: a file, or a directory with all that is below it
        return ",\"bytes\":" + get(path(words[1]), new File(words[2]));
      case "read": // URI: a small file as text
        return ",\"text\":" + json(read(path(words[1])));
      case "rename": // URI URI: what is at the second must not be there, its parent must
        rename(path(words[1]), path(words[2]));
        return "";
      case "delete": // URI: with all below it; none there is fine
        return ",\"was\":" + path(words[1]).getFileSystem(conf).delete(path(words[1]), true);
      case "list": // URI: what is directly in it
        return list(path(words[1]));
      case "kill": // JOB
        RunningJob job = new JobClient(new JobConf(conf)).getJob(JobID.forName(words[1]));
        if (job != null) job.killJob();
        return ",\"was\":" + (job != null);
      case "nodes": // how many there are to run tasks, where the configuration says that jobs run
        return ",\"nodes\":" + new JobClient(new JobConf(conf)).getClusterStatus().getTaskTrackers();
      default:
        throw new IllegalArgumentException("no command " + words[0]);
    }
  }

  private static Path path(String text) {
    return new Path(text);
  }

  private String about(String[] words) throws Exception {
    FileSystem home = FileSystem.get(conf);
    StringBuilder values = new StringBuilder();
    for (int i = 1; i < words.length; i++) {
      String value = conf.get(words[i]);
      values.append(i == 1 ? "" : ",").append(json(words[i])).append(':').append(json(value));
    }
    return ",\"hadoop\":" + json(VersionInfo.getVersion())
        + ",\"java\":" + json(System.getProperty("java.version"))
        + ",\"user\":" + json(UserGroupInformation.getCurrentUser().getShortUserName())
        + ",\"isSecure\":" + UserGroupInformation.isSecurityEnabled()
        + ",\"home\":" + json(home.getHomeDirectory().toString())
        + ",\"files\":" + json(home.getUri().toString())
        + ",\"confDirectory\":" + json(confDirectory())
        + ",\"conf\":{" + values + "}";
  }

  /** Where the configuration was read from; null: from none on disk. */
  private String confDirectory() throws Exception {
    java.net.URL site = conf.getResource("core-site.xml");
    return site == null || !site.getProtocol().equals("file") ? null : new File(site.toURI()).getParent();
  }

  private String stat(String uri) throws IOException {
    Path path = path(uri);
    FileSystem files = path.getFileSystem(conf);
    String whole = ",\"path\":" + json(files.makeQualified(path).toString());
    try {
      return whole + entry(files.getFileStatus(path));
    } catch (FileNotFoundException none) {
      return whole + ",\"kind\":null";
    }
  }

  private static String entry(FileStatus status) {
    String kind = status.isDirectory() ? "directory" : "file";
    return ",\"kind\":\"" + kind + "\",\"bytes\":" + status.getLen();
  }

  private void put(File from, Path to) throws IOException {
    FileSystem files = to.getFileSystem(conf);
    if (files.exists(to)) throw new FileAlreadyExistsException(to.toString());
    Path aside = new Path(to.getParent(), ".put-" + java.util.UUID.randomUUID());
    try {
      try (InputStream bytes = new FileInputStream(from); OutputStream out = files.create(aside, false)) {
        IOUtils.copyBytes(bytes, out, 1 << 20);
      }
      rename(aside, to);
    } finally {
      files.delete(aside, true);
    }
  }

  private long get(Path from, File to) throws IOException {
    FileSystem files = from.getFileSystem(conf);
    FileStatus status = files.getFileStatus(from);
    if (status.isDirectory()) {
      if (!to.isDirectory() && !to.mkdirs()) throw new IOException("cannot make " + to);
      long bytes = 0;
      for (FileStatus one : files.listStatus(from))
        bytes += get(one.getPath(), new File(to, one.getPath().getName()));
      return bytes;
    }
    try (InputStream bytes = files.open(from); OutputStream out = new FileOutputStream(to)) {
      IOUtils.copyBytes(bytes, out, 1 << 20);
    }
    if (to.length() != status.getLen())
      throw new IOException(from + " has " + status.getLen() + " bytes, of which " + to.length() + " came");
    return status.getLen();
  }

  private String read(Path from) throws IOException {
    FileSystem files = from.getFileSystem(conf);
    byte[] bytes = new byte[Math.toIntExact(files.getFileStatus(from).getLen())];
    try (InputStream in = files.open(from)) {
      IOUtils.readFully(in, bytes, 0, bytes.length);
    }
    return new String(bytes, StandardCharsets.UTF_8);
  }

  /** Never into a directory of that name, and never over a file, whatever comes between. */
  private void rename(Path from, Path to) throws IOException {
    FileSystem files = to.getFileSystem(conf);
    // The contexts of these would leave checksums of files behind.
    if (!(files instanceof LocalFileSystem)) {
      try {
        FileContext.getFileContext(files.getUri(), conf)
            .rename(files.makeQualified(from), files.makeQualified(to), Options.Rename.NONE);
        return;
      } catch (UnsupportedFileSystemException none) {
        // A file system that has no such thing: as well as can be.
      }
    }
    if (files.exists(to)) throw new FileAlreadyExistsException(to.toString());
    if (!files.rename(from, to)) throw new IOException("cannot rename " + from + " to " + to);
  }

  private String list(Path directory) throws IOException {
    StringBuilder entries = new StringBuilder();
    for (FileStatus one : directory.getFileSystem(conf).listStatus(directory))
      entries.append(entries.length() == 0 ? "" : ",")
          .append("{\"name\":").append(json(one.getPath().getName())).append(entry(one)).append('}');
    return ",\"entries\":[" + entries + "]";
  }

  static String json(String text) {
    if (text == null) return "null";
    StringBuilder out = new StringBuilder("\"");
    for (int i = 0; i < text.length(); i++) {
      char one = text.charAt(i);
      if (one == '"' || one == '\\') out.append('\\').append(one);
      else if (one < ' ' || one >= 127) out.append(String.format("\\u%04x", (int) one));
      else out.append(one);
    }
    return out.append('"').toString();
  }
}
