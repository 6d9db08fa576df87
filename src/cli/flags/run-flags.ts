import { settings } from "../../base/limits.ts";
import { formatSize, MiB } from "../../base/size.ts";
import { repeatedFlag, switchFlag, valueFlag } from "../flag.ts";
import {
  assignmentType,
  badBudgetType,
  choiceType,
  durationType,
  fractionType,
  integerType,
  partitionsType,
  pathType,
  sizeType,
  stringType,
} from "../flag-type.ts";
import { clusterJobFlags, connectFlags, detachFlag } from "./cluster-flags.ts";
import { displayFlags } from "./display-flags.ts";
import { driverFlags } from "./driver-flags.ts";

/** Below this V8 itself hardly starts. */
const HEAP_BYTES_MIN = 64 * MiB;

const inputFlags = {
  splitSize: valueFlag({
    name: "split-size",
    placeholder: "SIZE",
    type: sizeType(1),
    default: "from the input's size and the workers",
    category: "Input",
    doc: "Bytes of input per map task",
    details: "The results do not depend on it. Files smaller than this share a task.",
  }),
  mappers: valueFlag({
    name: "mappers",
    placeholder: "N",
    type: integerType(1, settings.mappers.max),
    category: "Input",
    doc: "Map tasks wanted, instead of --split-size",
    details: "About so many are made: files that cannot be cut, and small ones, do not come out even.",
  }),
  growing: switchFlag({
    name: "growing",
    category: "Input",
    doc: "Read files that are appended to up to their present end",
    details:
      "To the end of each file's last record that is whole when the job begins. A file that shrinks or is replaced " +
      "fails the job all the same. For lines, csv and records of one length; others may not change.",
  }),
  sample: valueFlag({
    name: "sample",
    placeholder: "P",
    type: fractionType,
    default: "all records",
    category: "Input",
    doc: "Keep only this share of the records: 0.01 or 1%",
    details:
      "Which records are kept depends on the job's seed, where a file lies below the input given, and the record's " +
      "offset: not on splits, workers, the machine, the current directory or how a path is spelled.",
  }),
  maxBad: valueFlag({
    name: "max-bad",
    placeholder: "B",
    type: badBudgetType,
    default: "0: the first bad record fails the job",
    category: "Input",
    doc: "Bad records to set aside before the job fails: 100 or 0.01%",
    details:
      "A record is bad when it cannot be decoded or the job's code throws on it. Those set aside are kept in DIR/_bad " +
      "with their error, file and offset. A share is judged when all of the input has been read.",
  }),
};

const outputFlags = {
  output: valueFlag({
    name: "output",
    short: "o",
    placeholder: "DIR",
    type: pathType,
    default: "standard output",
    category: "Output",
    doc: "Directory for the results; must not exist",
    details: "It appears when the job has succeeded, complete, or not at all.",
  }),
  overwrite: switchFlag({
    name: "overwrite",
    category: "Output",
    doc: "Replace DIR if it exists and a job has written it",
    details:
      "The old contents stay in place until the new ones are complete. Anything but the output of a job, as it was " +
      "written, or an empty directory is refused, and so is a symbolic link.",
  }),
  partSize: valueFlag({
    name: "part-size",
    placeholder: "SIZE",
    type: sizeType(1),
    default: formatSize(settings.partBytes.default),
    category: "Output",
    doc: "Begin another output file at this size",
  }),
  print: valueFlag({
    name: "print",
    placeholder: "N",
    type: integerType(1),
    category: "Output",
    doc: "Print the first N results of each collection on standard output",
    details: "As the job's writer writes them, unpacked; control characters are escaped.",
  }),
  collect: switchFlag({
    name: "collect",
    category: "Output",
    doc: "Print all results on standard output",
    details: "As --print does, but all of them.",
  }),
};

const jobFlags = {
  set: repeatedFlag({
    name: "set",
    placeholder: "NAME=VALUE",
    type: assignmentType,
    category: "Job",
    doc: "Set a parameter of the job; may be repeated",
    details:
      "The value is read as the type of the parameter's default; as JSON where that is an array, an object or " +
      "null.",
  }),
  external: repeatedFlag({
    name: "external",
    placeholder: "PACKAGE",
    type: stringType,
    default: 'those of "external" in sheaf.json',
    category: "Job",
    doc: "Leave a package outside the job's bundle; may be repeated",
    details:
      "For packages that cannot be bundled. Every machine loads its own, as seen from the job file. @scope/* means " +
      "all of a scope; native add-ons always stay outside.",
  }),
  name: valueFlag({
    name: "name",
    placeholder: "NAME",
    type: stringType,
    default: "the job's name",
    category: "Job",
    doc: "Name of this run in sheaf jobs, and for @?NAME",
  }),
};

const executionFlags = {
  workers: valueFlag({
    name: "workers",
    short: "w",
    placeholder: "N",
    type: integerType(1, 1024),
    default: "one per core",
    category: "Execution",
    doc: "Workers at most; none is started that has nothing to do",
    details: "The results do not depend on it.",
  }),
  partitions: repeatedFlag({
    name: "partitions",
    short: "p",
    placeholder: "[COLLECTION=]N",
    type: partitionsType,
    default: "the job's, or from the input's size",
    category: "Execution",
    doc: "Reduce tasks, and so output files",
    details: "Of every collection that has a reduce or an order, or of the one named; may be repeated.",
  }),
  memory: valueFlag({
    name: "memory",
    short: "m",
    placeholder: "SIZE",
    type: sizeType(settings.memoryBytes.min),
    default: formatSize(settings.memoryBytes.default),
    category: "Execution",
    doc: "Memory each worker may use for data",
    details: `At least ${formatSize(settings.memoryBytes.min)}. What does not fit is sorted on disk; the results do not depend on it.`,
  }),
  heap: valueFlag({
    name: "heap",
    placeholder: "SIZE",
    type: sizeType(HEAP_BYTES_MIN),
    default: "Node's own limit, or a share of the machine's memory",
    category: "Execution",
    doc: "JavaScript heap of each worker, for the job's own objects",
  }),
  temp: valueFlag({
    name: "temp",
    placeholder: "DIR",
    type: pathType,
    default: "beside the output, or the system's",
    category: "Execution",
    doc: "Directory for intermediate files",
  }),
  isolate: valueFlag({
    name: "isolate",
    placeholder: "HOW",
    type: choiceType(["thread", "process"]),
    default: "thread",
    category: "Execution",
    doc: "Run workers as threads, or as processes",
    details:
      "Processes cost more to start and survive code that takes its process down (native add-ons, abort).",
  }),
  inline: switchFlag({
    name: "inline",
    category: "Execution",
    doc: "Run every task on the main thread, one after the other",
    details:
      "For breakpoints and for code that must not run in a worker. Ctrl-C is heard between records only; an endless " +
      "loop is ended with Ctrl-\\ (SIGQUIT).",
  }),
  attempts: valueFlag({
    name: "attempts",
    placeholder: "N",
    type: integerType(settings.attempts.min, settings.attempts.max),
    default: String(settings.attempts.default),
    category: "Execution",
    doc: "Attempts a task has before the job fails",
  }),
  noProgressTimeout: valueFlag({
    name: "no-progress-timeout",
    placeholder: "TIME",
    type: durationType,
    default: `${settings.noProgressMs.default / 1000}s`,
    category: "Execution",
    doc: "End a task that finishes no record for this long",
    details: "0 means never. Code that works long on one record calls ctx.progress().",
  }),
};

export const runFlags = {
  ...inputFlags,
  ...outputFlags,
  ...jobFlags,
  ...executionFlags,
  ...connectFlags,
  ...clusterJobFlags,
  detach: detachFlag,
  ...driverFlags,
  ...displayFlags,
};
