import { SheafError } from "../../../base/errors.ts";
import { settings } from "../../../base/limits.ts";
import { suggest } from "../../../base/suggest.ts";
import type { StreamIo } from "../../../stream/stream-job.ts";

/** What properties of Hadoop ask for, in sheaf's own words. */
export interface JobconfWishes {
  reduces?: number;
  mappers?: number;
  name?: string;
  separator?: string;
  keyFields?: number;
  inputSeparator?: string;
  keySeparator?: string;
  sort?: string;
  partitionBy?: string;
  /** So many fields from the first, instead of those. */
  partitionFields?: number;
  partitioner?: string;
  hasComparator?: boolean;
  anyExit?: boolean;
  ignoresKey?: boolean;
  reporter?: string;
  noProgressMs?: number;
  attempts?: number;
  splitSize?: number;
  compresses?: boolean;
  codec?: string;
  /** By "map.input", "map.output", "reduce.input", "reduce.output". */
  io?: Partial<Record<StreamSide, StreamIo>>;
}

/** Where programs read and write. */
export type StreamSide = "map.input" | "map.output" | "reduce.input" | "reduce.output";

type Take = (wishes: JobconfWishes, value: string, name: string) => void;

const whole = (name: string, value: string, min: number, max: number): number => {
  const number = /^\d+$/.test(value.trim()) ? Number(value) : Number.NaN;
  if (number >= min && number <= max) return number;
  throw usage(`-D ${name}: "${value}" is out of range`, `Give a whole number from ${min} to ${max}.`);
};

const truth = (name: string, value: string): boolean => {
  if (/^(?:true|false)$/i.test(value.trim())) return /^true$/i.test(value.trim());
  throw usage(`-D ${name}: "${value}" is neither true nor false`, "Give true or false.");
};

const reduces: Take = (wishes, value, name) =>
  void (wishes.reduces = whole(name, value, 0, settings.partitions.max));
const mappers: Take = (wishes, value, name) =>
  void (wishes.mappers = whole(name, value, settings.mappers.min, settings.mappers.max));
const jobName: Take = (wishes, value) => void (wishes.name = value);
const keySeparator: Take = (wishes, value) => void (wishes.keySeparator = value);
const comparator: Take = (wishes, value, name) => {
  if (!/(?:^|\.)(?:KeyFieldBasedComparator|Text)$/.test(value))
    throw usage(
      `-D ${name}: there is no ${value}`,
      "There are KeyFieldBasedComparator, and Text: all bytes.",
    );
  wishes.hasComparator = value.endsWith("KeyFieldBasedComparator");
};
const sort: Take = (wishes, value) => void (wishes.sort = value);
const partitionBy: Take = (wishes, value) => void (wishes.partitionBy = value);
const timeout: Take = (wishes, value, name) =>
  void (wishes.noProgressMs = whole(name, value, 0, settings.noProgressMs.max));
const attempts: Take = (wishes, value, name) => {
  const count = whole(name, value, settings.attempts.min, settings.attempts.max);
  wishes.attempts = Math.max(count, wishes.attempts ?? 1);
};
const compresses: Take = (wishes, value, name) => void (wishes.compresses = truth(name, value));
const codec: Take = (wishes, value) => void (wishes.codec = value);
const splitSize: Take = (wishes, value, name) =>
  void (wishes.splitSize = whole(name, value, 1, Number.MAX_SAFE_INTEGER));
/** What only has the value that sheaf has anyway. */
const only =
  (wanted: string, hint: string): Take =>
  (_, value, name) => {
    if (value !== wanted) throw usage(`-D ${name}=${JSON.stringify(value)} is not there`, hint);
  };
const asWritten = only("\t", "Let the last program write its lines as they are to be: they are not changed.");
const inFormat =
  (end: StreamSide): Take =>
  (wishes, value, name) =>
    void (wishes.io = { ...wishes.io, [end]: ioOf(value, `-D ${name}`) });

/** What -io and the four properties of it call a format. @throws SheafError USAGE */
export function ioOf(value: string, what: string): StreamIo {
  if (value === "text") return "lines";
  if (value === "rawbytes" || value === "typedbytes") return value;
  throw usage(
    `${what}: there is no ${value}`,
    "There are text, rawbytes and typedbytes. For others write a job with exec(): docs/streaming.md.",
  );
}

/** What decides results, by today's name; those of Hadoop 1 below. */
const ofResults: Readonly<Record<string, Take>> = {
  "mapreduce.job.reduces": reduces,
  "mapreduce.job.partitioner.class": (wishes, value) => void (wishes.partitioner = value),
  "num.key.fields.for.partition": (wishes, value, name) =>
    void (wishes.partitionFields = whole(name, value, 1, 1_000_000)),
  "stream.map.output.field.separator": (wishes, value) => void (wishes.separator = value),
  "stream.num.map.output.key.fields": (wishes, value, name) =>
    void (wishes.keyFields = whole(name, value, 1, 1_000_000)),
  "stream.map.input.field.separator": asWritten,
  "stream.reduce.input.field.separator": (wishes, value) => void (wishes.inputSeparator = value),
  "stream.reduce.output.field.separator": asWritten,
  "stream.num.reduce.output.key.fields": () => undefined,
  "mapreduce.output.textoutputformat.separator": asWritten,
  "mapreduce.map.output.key.field.separator": keySeparator,
  "mapreduce.partition.keypartitioner.options": partitionBy,
  "mapreduce.partition.keycomparator.options": sort,
  "mapreduce.job.output.key.comparator.class": comparator,
  "stream.non.zero.exit.is.failure": (wishes, value, name) => void (wishes.anyExit = !truth(name, value)),
  "stream.stderr.reporter.prefix": (wishes, value) => void (wishes.reporter = value),
  "stream.map.input.ignoreKey": (wishes, value, name) => void (wishes.ignoresKey = truth(name, value)),
  "stream.map.input": inFormat("map.input"),
  "stream.map.output": inFormat("map.output"),
  "stream.reduce.input": inFormat("reduce.input"),
  "stream.reduce.output": inFormat("reduce.output"),
  "mapreduce.output.fileoutputformat.compress": compresses,
  "mapreduce.output.fileoutputformat.compress.codec": codec,
};

/** What is of the run as a whole. */
const ofRun: Readonly<Record<string, Take>> = {
  "mapreduce.job.maps": mappers,
  "mapreduce.job.name": jobName,
  "mapreduce.task.timeout": timeout,
  "mapreduce.map.maxattempts": attempts,
  "mapreduce.reduce.maxattempts": attempts,
  "mapreduce.input.fileinputformat.split.maxsize": splitSize,
};

const properties = { ...ofResults, ...ofRun };

const before: Readonly<Record<string, string>> = {
  "map.output.key.field.separator": "mapreduce.map.output.key.field.separator",
  "mapred.partitioner.class": "mapreduce.job.partitioner.class",
  "mapred.reduce.tasks": "mapreduce.job.reduces",
  "mapred.map.tasks": "mapreduce.job.maps",
  "mapred.job.name": "mapreduce.job.name",
  "mapred.textoutputformat.separator": "mapreduce.output.textoutputformat.separator",
  "mapred.text.key.partitioner.options": "mapreduce.partition.keypartitioner.options",
  "mapred.text.key.comparator.options": "mapreduce.partition.keycomparator.options",
  "mapred.output.key.comparator.class": "mapreduce.job.output.key.comparator.class",
  "mapred.task.timeout": "mapreduce.task.timeout",
  "mapred.map.max.attempts": "mapreduce.map.maxattempts",
  "mapred.reduce.max.attempts": "mapreduce.reduce.maxattempts",
  "mapred.max.split.size": "mapreduce.input.fileinputformat.split.maxsize",
  "mapred.output.compress": "mapreduce.output.fileoutputformat.compress",
  "mapred.output.compression.codec": "mapreduce.output.fileoutputformat.compress.codec",
};

/** The name that a property of Hadoop 1 has now; every other as it is. */
export function nameOfToday(name: string): string {
  return Object.hasOwn(before, name) ? before[name]! : name;
}

/** Whether a property of that name, of today or of Hadoop 1, decides what comes out. */
export function decidesResults(name: string): boolean {
  return Object.hasOwn(ofResults, nameOfToday(name));
}

/** How wishes for partitions and order read as options of exec(). @throws SheafError USAGE */
export function keyRules(wishes: JobconfWishes, partitioner = "HashPartitioner"): KeyRules {
  const [, name] = /(?:^|\.)(\w+)$/.exec(partitioner) ?? [];
  const isByFields = name === "KeyFieldBasedPartitioner";
  if (!isByFields && name !== "HashPartitioner" && name !== "TotalOrderPartitioner") {
    throw usage(
      `-partitioner: there is no ${partitioner}`,
      "There are KeyFieldBasedPartitioner, TotalOrderPartitioner and HashPartitioner, which is the default.",
    );
  }
  // As Hadoop has it, the number of fields goes before the options.
  const { partitionFields } = wishes;
  const fields = partitionFields === undefined ? wishes.partitionBy : `-k1,${partitionFields}`;
  return {
    sort: wishes.hasComparator === true ? (wishes.sort ?? "") : undefined,
    partitionBy: isByFields ? fields : undefined,
    order: name === "TotalOrderPartitioner" ? "total" : undefined,
    isLeftOut: fields !== undefined && !isByFields,
  };
}

export interface KeyRules {
  readonly sort: string | undefined;
  readonly partitionBy: string | undefined;
  readonly order: "total" | undefined;
  /** There are options of a partitioner that is not asked for. */
  readonly isLeftOut: boolean;
}

/** Of the cluster that Hadoop runs on, or of how it goes about what sheaf goes about in its own way. */
const ofHadoop =
  /^(?:yarn|dfs|fs|io|ipc|hadoop|tmpfiles|mapreduce\.(?:map|reduce)\.(?:memory|cpu|java|speculative|env|log)|mapreduce\.(?:framework|job\.(?:queuename|priority|user|reduce\.slowstart|running|jvm|ubertask|split|classloader))|mapreduce\.(?:task\.io|reduce\.shuffle|map\.(?:output\.compress|sort)|input\.fileinputformat\.(?:split\.minsize|input\.dir))|mapred\.(?:child|job\.(?:queue|priority|map|reduce|reuse)|map\.tasks\.spec|reduce\.tasks\.spec|reduce\.slowstart|compress\.map|min\.split|job\.tracker|queue))/;

/** Where Hadoop finds what its InputSampler has written. */
const ofTotalOrder = /^(?:mapreduce\.totalorderpartitioner|total\.order\.partitioner)\./;

/** One more of those that sheaf knows by no name is the program's own. */
const ofStreaming = /^(?:mapreduce|mapred|stream|map|num)\./;

/**
 * Takes -D NAME=VALUE.
 * @returns what is told: how it was not followed; null when it was
 * @throws SheafError USAGE for a value that cannot be, and for a name of Hadoop's that sheaf does not know
 */
export function takeProperty(wishes: JobconfWishes, name: string, value: string): string | null {
  const today = nameOfToday(name);
  if (Object.hasOwn(properties, today)) {
    properties[today]!(wishes, value, name);
    return null;
  }
  if (ofTotalOrder.test(name))
    return `-D ${name} changes nothing here: a sample of the keys says where parts begin`;
  if (ofHadoop.test(name)) return `-D ${name} is of Hadoop's own machinery and changes nothing here`;
  if (!ofStreaming.test(name)) return null;
  const near = suggest(name, [...Object.keys(properties), ...Object.keys(before)]);
  throw usage(
    `-D ${name}: there is no such property`,
    near === undefined ? "docs/streaming.md has those that there are." : `Did you mean ${near}?`,
  );
}

function usage(message: string, hint: string): SheafError {
  return new SheafError("USAGE", message, { hint });
}
