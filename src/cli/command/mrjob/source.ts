import { SheafError } from "../../../base/errors.ts";
import { nameOfToday } from "../stream/jobconf.ts";
import type { MrjobDescription } from "./describe.ts";

type Step = MrjobDescription["steps"][number];
type Jobconf = Step["jobconf"];

/** Options of exec() and of the job that a step's jobconf asks for. */
interface StepSettings {
  readonly map: Readonly<Record<string, unknown>>;
  readonly all: Readonly<Record<string, unknown>>;
  /** Of what reads pairs. */
  readonly reading: Readonly<Record<string, unknown>>;
  readonly partitions: number | undefined;
}

/**
 * A job file, or a pipeline of one job for each step, that does what mrjob would have Hadoop do.
 * @param python the interpreter and its arguments
 * @throws SheafError JOB_INVALID naming what of it cannot be done
 */
export function mrjobSource(described: MrjobDescription, python: readonly string[], name: string): string {
  checkFormats(described);
  const files = Object.entries(described.files).map(([called, path]) => `${path}#${called}`);
  const steps = described.steps.map((step, at) => {
    if (step.combiner !== undefined && step.reducer === undefined) {
      throw refused(
        `step ${at + 1} has a combiner and no reducer`,
        "Leave the combiner out, or add a reducer.",
      );
    }
    const isLast = at === described.steps.length - 1;
    const settings = settingsOf(step, described, `step ${at + 1}`);
    const program = (
      words: readonly string[] | undefined,
      more: Readonly<Record<string, unknown>>,
    ): string => {
      const argv = words === undefined ? ["cat"] : [...python, described.script, ...words];
      return `exec(${JSON.stringify(argv)}, ${JSON.stringify({ ...settings.all, ...more })})`;
    };
    // What goes to the next step passes through JavaScript, whatever bytes it holds.
    const passed = isLast ? {} : { invalid: "bytes" };
    const ends = step.reducer === undefined ? passed : {};
    const fields = [
      `  input: ${at === 0 ? 'text({ invalid: "bytes" })' : `from(step${at})`},`,
      `  files,`,
      `  map: ${program(step.mapper, { ...settings.map, ...ends })},`,
      ...(step.combiner === undefined ? [] : [`  combine: ${program(step.combiner, settings.reading)},`]),
      ...(step.reducer === undefined
        ? []
        : [`  reduce: ${program(step.reducer, { ...settings.reading, ...passed })},`]),
      ...(settings.partitions === undefined ? [] : [`  partitions: ${settings.partitions},`]),
    ];
    return `const step${at + 1} = job({\n${fields.join("\n")}\n});`;
  });
  const names = steps.map((_, at) => `step${at + 1}`);
  return [
    `// ${JSON.stringify(name)}, a script of mrjob, as a ${names.length === 1 ? "job" : "pipeline"} of sheaf.`,
    `import { exec, from, job, pipeline, text } from "sheaf";`,
    ``,
    `const files = ${JSON.stringify(files, null, 2)};`,
    ...steps,
    names.length === 1 ? "export default step1;" : `export default pipeline({ ${names.join(", ")} });`,
    ``,
  ].join("\n");
}

const IN_FORMATS = ["TextInputFormat"];
const OUT_FORMATS = ["TextOutputFormat"];

function checkFormats({ inputFormat, outputFormat }: MrjobDescription): void {
  const check = (option: string, format: string | null, known: readonly string[]): void => {
    if (format === null || known.includes(shortName(format))) return;
    throw refused(`${option} is ${format}`, `sheaf reads and writes lines here: leave it out (${known[0]}).`);
  };
  check("HADOOP_INPUT_FORMAT", inputFormat, IN_FORMATS);
  check("HADOOP_OUTPUT_FORMAT", outputFormat, OUT_FORMATS);
}

function shortName(className: string): string {
  return className.slice(className.lastIndexOf(".") + 1);
}

/** Properties that decide what comes out. */
const NAMES = {
  reduces: "mapreduce.job.reduces",
  partitioner: "mapreduce.job.partitioner.class",
  partitionBy: "mapreduce.partition.keypartitioner.options",
  comparator: "mapreduce.job.output.key.comparator.class",
  sort: "mapreduce.partition.keycomparator.options",
  keySeparator: "mapreduce.map.output.key.field.separator",
  separator: "stream.map.output.field.separator",
  inputSeparator: "stream.reduce.input.field.separator",
  keyFields: "stream.num.map.output.key.fields",
  partitionFields: "num.key.fields.for.partition",
  exitCode: "stream.non.zero.exit.is.failure",
} as const;

/** Other properties that decide what comes out, and are not known here. */
const REFUSED: readonly RegExp[] = [
  /^stream\./,
  /^textinputformat\.record\.delimiter$/,
  /^mapreduce\.input\.lineinputformat\./,
  /^map(?:reduce|red)\..*\b(?:input|output)format\.class$/,
  /^mapred\.(?:input|output)\.format\.class$/,
  /^map(?:reduce|red)\..*\bgroup(?:ing|fn)?\./,
];
/** Refused unless they say what sheaf does anyway. */
const ONLY: Readonly<Record<string, RegExp>> = {
  "mapreduce.output.fileoutputformat.compress": /^false$/i,
  "mapreduce.output.textoutputformat.separator": /^\t$/,
};

/** @throws SheafError JOB_INVALID */
function settingsOf({ jobconf, reducer }: Step, described: MrjobDescription, place: string): StepSettings {
  const read = (name: keyof typeof NAMES): string | undefined => valueOf(jobconf, NAMES[name], place);
  const whole = (name: keyof typeof NAMES): number | undefined => wholeOf(read(name), NAMES[name], place);
  for (const [name, value] of Object.entries(jobconf)) checkKnown(name, value, place);
  const reduces = whole("reduces");
  if (reduces === 0 && reducer !== undefined) {
    throw refused(`${place}: ${NAMES.reduces} is 0, and there is a reducer`, "Leave out one of the two.");
  }
  const partitioner = read("partitioner") ?? described.partitioner ?? "HashPartitioner";
  const byFields = isClass("partitioner", partitioner, "HashPartitioner", "KeyFieldBasedPartitioner", place);
  const comparator = read("comparator") ?? "Text";
  const sorted = isClass("comparator", comparator, "Text", "KeyFieldBasedComparator", place);
  // As Hadoop has it, the number of fields goes before the options.
  const fields = whole("partitionFields");
  const partitionBy = fields === undefined ? read("partitionBy") : `-k1,${fields}`;
  const failure = read("exitCode");
  if (failure !== undefined && !/^(?:true|false)$/i.test(failure)) {
    throw refused(
      `${place}: jobconf ${NAMES.exitCode}=${failure} is neither true nor false`,
      "Give one of them.",
    );
  }
  const defined = (fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
    Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  const isShuffled = reducer !== undefined;
  return {
    all: defined({
      env: { ...environmentOf(jobconf), ...described.cmdenv },
      exitCodes: failure?.toLowerCase() === "false" ? "any" : undefined,
    }),
    reading: defined({ inputSeparator: read("inputSeparator") }),
    map: defined({
      separator: read("separator"),
      keyFields: whole("keyFields"),
      sort: isShuffled && sorted ? (read("sort") ?? "-k1") : undefined,
      partitionBy: isShuffled && byFields ? partitionBy : undefined,
      keySeparator: isShuffled ? read("keySeparator") : undefined,
    }),
    partitions: isShuffled ? reduces : undefined,
  };
}

/** As Hadoop sets them for tasks: what is no letter or digit is an underscore. */
function environmentOf(jobconf: Jobconf): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(jobconf)
      .filter(([, value]) => !value.includes("\0"))
      .map(([name, value]) => [name.replace(/[^A-Za-z0-9]/g, "_"), value]),
  );
}

function checkKnown(name: string, value: string, place: string): void {
  const today = nameOfToday(name);
  const known = Object.values<string>(NAMES).includes(today);
  const isOther = Object.hasOwn(ONLY, today) && !ONLY[today]!.test(value);
  if (!isOther && (known || !REFUSED.some((pattern) => pattern.test(name)))) return;
  throw refused(
    `${place}: jobconf ${name}=${value} cannot be had`,
    "Leave it out; docs/mrjob.md has those that can.",
  );
}

/** One property under either of its names. */
function valueOf(jobconf: Jobconf, today: string, place: string): string | undefined {
  const given = Object.entries(jobconf).filter(([name]) => nameOfToday(name) === today);
  if (new Set(given.map(([, value]) => value)).size > 1) {
    const names = given.map(([name]) => name).join(" and ");
    const values = given.map(([, value]) => value).join(", ");
    throw refused(`${place}: jobconf ${names} differ: ${values}`, "Give one of them.");
  }
  return given[0]?.[1];
}

function wholeOf(text: string | undefined, name: string, place: string): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw refused(`${place}: jobconf ${name}=${text} is no number`, "Give a whole number.");
}

/** Whether a class is the second of two that are known. */
function isClass(what: string, name: string, first: string, second: string, place: string): boolean {
  const short = shortName(name);
  if (short === first || short === second) return short === second;
  throw refused(`${place}: the ${what} ${name} cannot be had`, `Java is not run: use ${first} or ${second}.`);
}

function refused(message: string, hint: string): SheafError {
  return new SheafError("JOB_INVALID", message, { hint });
}
