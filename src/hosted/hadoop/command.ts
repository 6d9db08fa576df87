import { SheafError } from "../../base/errors.ts";
import type { HostJob } from "../host-engine.ts";
import { reporterMark } from "../reports.ts";

/** Where the parts of a job lie when it is submitted. */
export interface Places {
  /** The jar with sheaf's own classes, a file of this machine; null: the job does without (--no-jar). */
  readonly jar: string | null;
  /** `HostJob.splits`, where the client and all tasks can read it. */
  readonly splits: string;
  /** What the job writes, a directory that is not there. */
  readonly output: string;
  /** The job's home as tasks see it: "." where archives are unpacked, else `HostJob.home`. */
  readonly home: string;
  /** "hdfs://host/node-0123.tgz#node"; none in local mode. */
  readonly archives: readonly string[];
  /** Where failures are told: see ErrorTap.java; null in local mode. */
  readonly errors: string | null;
  /** Of local mode: where Hadoop keeps its own files; null elsewhere. */
  readonly localTemp: string | null;
}

export interface CommandOptions {
  /** Of the user's. */
  readonly conf: Readonly<Record<string, string>>;
  readonly speculation: boolean;
  /** Version of Hadoop, "3.4.2". */
  readonly hadoop: string;
  /** Tasks at once in local mode. */
  readonly localTasks: number;
}

const MiB = 1024 * 1024;
const MAPRED = "org.apache.hadoop.mapred";

/** Memory of a task's own JVM that only moves bytes: its heap, and what it takes in all. */
const JVM_HEAP_MB = 512;
const JVM_MB = 800;
/** What Node itself takes beside its heap and the data of a task. */
const NODE_MB = 160;
/** As Hadoop has it for tasks when nobody says otherwise. */
const CONTAINER_MB_MIN = 2048;

/**
 * Properties that results depend on. Each is set for every job, whatever the site says, and a user's --conf
 * of that name is refused. Old names are the same properties to Hadoop.
 */
const KEPT: readonly (readonly [name: RegExp, why: string])[] = [
  [/^(?:mapreduce\.job\.reduces|mapred\.reduce\.tasks)$/, "it follows from --partitions"],
  [
    /^(?:mapreduce\.(?:file)?outputcommitter\.|mapred(?:uce\.job)?\.committer\.|mapred\.output\.committer\.class$)/,
    "with another committer, files of attempts that failed could stay in the output",
  ],
  [
    /^(?:mapreduce\.(?:map|reduce)\.failures\.maxpercent|mapred\.max\.(?:map|reduce)\.failures\.percent)$/,
    "records of tasks that fail would be missing from the output",
  ],
  [
    /^(?:mapreduce\.(?:map|reduce)\.skip\.|mapred\.skip\.)/,
    "records would be left out; --max-bad sets bad ones aside",
  ],
  [
    /^(?:mapreduce\.job\.(?:inputformat|outputformat|partitioner|map|reduce|combine)\.class|mapred\.(?:input|output)\.format\.class|mapred\.(?:partitioner|mapper|reducer|combiner)\.class|mapred\.map\.runner\.class|mapred\.(?:mapper|reducer)\.new-api)$/,
    "sheaf's own tasks read and write by it",
  ],
  [
    /^(?:mapreduce\.map\.output\.(?:key|value)\.class|mapreduce\.job\.output\.|mapred\.(?:mapoutput|output)\.(?:key|value)\.|mapred\.output\.value\.groupfn)/,
    "sheaf's own tasks read and write by it",
  ],
  [/^mapreduce\.partition\./, "it leads pairs to their partitions"],
  [
    /^(?:mapreduce\.input\.(?:lineinputformat|linerecordreader)\.|mapred\.line\.input\.format\.|mapred\.linerecordreader\.|textinputformat\.|mapreduce\.output\.fileoutputformat\.compress|mapred\.output\.compress)/,
    "sheaf's own tasks read and write by it",
  ],
  [
    /^(?:mapreduce\.output\.fileoutputformat\.outputdir|mapred\.output\.dir)$/,
    "-o says where the output goes",
  ],
  [/^(?:mapreduce\.input\.fileinputformat\.inputdir|mapred\.input\.dir)$/, "the inputs are arguments"],
  [/^(?:stream\.|sheaf\.)/, "sheaf's own tasks read and write by it"],
  [
    /^(?:tmparchives|tmpfiles|tmpjars|mapreduce\.job\.cache\.)/,
    "what a job needs travels with it: name it in `files`",
  ],
];

/** @throws SheafError USAGE for a property that results depend on, and for a name that is none */
export function checkConf(conf: Readonly<Record<string, string>>): void {
  for (const name of Object.keys(conf)) {
    if (!/^[^\s=]+$/.test(name)) {
      throw new SheafError("USAGE", `--conf ${name}=...: that is no name of a property`, {
        hint: "Write --conf NAME=VALUE, as in --conf mapreduce.job.queuename=reports.",
      });
    }
    const kept = KEPT.find(([pattern]) => pattern.test(name));
    if (kept === undefined) continue;
    throw new SheafError("USAGE", `--conf ${name} is not for users of --on hadoop: ${kept[1]}`, {
      hint: "Leave it out.",
    });
  }
}

/** Words behind `hadoop jar STREAMING_JAR`: Hadoop's own options first, or it refuses all. */
export function streamingWords(job: HostJob, places: Places, options: CommandOptions): string[] {
  const { jar, archives } = places;
  const properties = { ...usual(job, places, options), ...options.conf, ...needed(job, places) };
  const [input, inputFormat, outputFormat] =
    jar === null
      ? [places.splits, `${MAPRED}.lib.NLineInputFormat`, `${MAPRED}.SequenceFileOutputFormat`]
      : // Nothing reads the first, and nothing works without.
        ["sheaf", "dev.sheaf.hosted.SplitInputFormat", "dev.sheaf.hosted.NamedOutputFormat"];
  const words: readonly (readonly string[])[] = [
    ...Object.entries(properties).map(([name, value]) => ["-D", `${name}=${value}`]),
    archives.length === 0 ? [] : ["-archives", archives.join(",")],
    jar === null ? [] : ["-libjars", jar],
    ["-io", "rawbytes"],
    ["-inputformat", inputFormat],
    ["-outputformat", outputFormat],
    job.reduces > 0 ? ["-partitioner", `${MAPRED}.lib.BinaryPartitioner`] : [],
    ["-input", input],
    ["-output", places.output],
    ["-mapper", taskCommand(places.home, "map")],
    ["-reducer", job.reduces > 0 ? taskCommand(places.home, "reduce") : "NONE"],
  ];
  return words.flat();
}

function taskCommand(home: string, kind: string): string {
  return `/bin/sh ${quoted(`${home}/sheaf/run.sh`)} ${kind}`;
}

/** As Streaming takes a command apart: quotes of both kinds, and nothing that stands for a quote. */
function quoted(path: string): string {
  if (/^[\w./@%+=:,-]+$/.test(path)) return path;
  const mark = path.includes('"') ? "'" : '"';
  if (!path.includes(mark)) return `${mark}${path}${mark}`;
  throw new SheafError("USAGE", `Hadoop Streaming can start no program in ${path}`, {
    hint: "Give --temp a path without quotation marks.",
  });
}

/** What users may say otherwise. */
function usual(job: HostJob, places: Places, options: CommandOptions): Record<string, string> {
  const { hadoop, speculation } = options;
  // Hadoop 3.3 knows nothing of what newer Javas forbid; Java 8 knows nothing of the words that allow it.
  const opens = /^3\.[0-3]\./.test(hadoop)
    ? " -XX:+IgnoreUnrecognizedVMOptions --add-opens=java.base/java.lang=ALL-UNNAMED"
    : "";
  const jvm = `-Xmx${JVM_HEAP_MB}m -XX:CompressedClassSpaceSize=64m -XX:ReservedCodeCacheSize=48m${opens}`;
  const containerMb = String(containerMbOf(job));
  return {
    "mapreduce.job.name": `sheaf: ${job.name} (${job.jobId})`,
    "mapreduce.job.maps": String(job.mapTasks),
    "mapreduce.map.maxattempts": String(job.attempts),
    "mapreduce.reduce.maxattempts": String(job.attempts),
    "mapreduce.map.speculative": String(speculation),
    // A second attempt of a reduce fetches all again.
    "mapreduce.reduce.speculative": "false",
    "mapreduce.map.memory.mb": containerMb,
    "mapreduce.reduce.memory.mb": containerMb,
    "mapreduce.map.java.opts": jvm,
    "mapreduce.reduce.java.opts": jvm,
    "mapreduce.task.io.sort.mb": "100",
    // Blocks are compressed already.
    "mapreduce.map.output.compress": "false",
    "mapreduce.task.timeout": "600000",
    // All tasks would run in the application master's container, which has no room for them.
    "mapreduce.job.ubertask.enable": "false",
    "stream.jobconf.truncate.limit": "2000",
    ...(places.localTemp === null ? {} : localUsual(places.localTemp, options)),
  };
}

function localUsual(temp: string, { localTasks }: CommandOptions): Record<string, string> {
  return {
    "hadoop.tmp.dir": temp,
    "mapreduce.jobtracker.staging.root.dir": `${temp}/staging`,
    "mapreduce.local.map.tasks.maximum": String(localTasks),
    "mapreduce.local.reduce.tasks.maximum": String(localTasks),
    // All tasks share one heap.
    "mapreduce.task.io.sort.mb": "32",
    "mapreduce.reduce.memory.totalbytes": String(128 * MiB),
  };
}

/** Memory of a task's container, MiB: its JVM, and its Node. */
function containerMbOf({ heapBytes, memoryBytes }: HostJob): number {
  const node = NODE_MB + ((heapBytes ?? 0) + memoryBytes) / MiB;
  return Math.max(CONTAINER_MB_MIN, Math.ceil((JVM_MB + node) / 256) * 256);
}

/** What results depend on: KEPT has all of these. */
function needed(job: HostJob, { jar, splits, errors }: Places): Record<string, string> {
  return {
    "mapreduce.job.reduces": String(job.reduces),
    // The one that moves nothing of an attempt before the job is done with it.
    "mapreduce.fileoutputcommitter.algorithm.version": "1",
    "mapred.output.committer.class": "org.apache.hadoop.mapred.FileOutputCommitter",
    "mapreduce.job.committer.setup.cleanup.needed": "true",
    "mapreduce.map.failures.maxpercent": "0",
    "mapreduce.reduce.failures.maxpercent": "0",
    "mapreduce.map.skip.maxrecords": "0",
    "mapreduce.reduce.skip.maxgroups": "0",
    "mapreduce.partition.binarypartitioner.left.offset": "0",
    "mapreduce.partition.binarypartitioner.right.offset": "3",
    "stream.stderr.reporter.prefix": reporterMark,
    ...(jar === null && {
      "mapreduce.input.lineinputformat.linespermap": "1",
      "mapreduce.output.fileoutputformat.compress": "false",
      // A line of the list is read whole or not at all.
      "mapreduce.input.linerecordreader.line.maxlength": "2147483647",
      "textinputformat.record.delimiter": "\n",
    }),
    "sheaf.splits": splits,
    ...(errors === null ? {} : { "sheaf.errors": errors }),
  };
}
