import { SheafError } from "../../../base/errors.ts";
import {
  decidesResults,
  keyRules,
  nameOfToday,
  takeProperty,
  type JobconfWishes,
} from "../stream/jobconf.ts";
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
  readonly order: "total" | undefined;
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
      ...(settings.order === undefined ? [] : [`  order: "${settings.order}",`]),
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

/** Other properties that decide what comes out, and are not known here. */
const REFUSED: readonly RegExp[] = [
  /^stream\./,
  /^textinputformat\.record\.delimiter$/,
  /^mapreduce\.input\.lineinputformat\./,
  /^map(?:reduce|red)\..*\b(?:input|output)format\.class$/,
  /^mapred\.(?:input|output)\.format\.class$/,
  /^map(?:reduce|red)\..*\bgroup(?:ing|fn)?\./,
];

/** @throws SheafError JOB_INVALID */
function settingsOf({ jobconf, reducer }: Step, described: MrjobDescription, place: string): StepSettings {
  checkAgreement(jobconf, place);
  const wishes: JobconfWishes = {};
  const { sort, partitionBy, order } = ofStep(place, () => {
    for (const [name, value] of Object.entries(jobconf)) {
      if (decidesResults(name)) takeProperty(wishes, name, value);
      else if (REFUSED.some((pattern) => pattern.test(name))) throw cannotBeHad(place, name, value);
      const isOther = wishes.io !== undefined || wishes.compresses === true || wishes.ignoresKey === false;
      if (isOther) throw cannotBeHad(place, name, value);
    }
    return keyRules(wishes, wishes.partitioner ?? described.partitioner ?? undefined);
  });
  const isShuffled = reducer !== undefined;
  if (wishes.reduces === 0 && isShuffled)
    throw refused(
      `${place}: mapreduce.job.reduces is 0, and there is a reducer`,
      "Leave out one of the two.",
    );
  const defined = (fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
    Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  const { inputSeparator, separator, keyFields, keySeparator, reporter, reduces } = wishes;
  return {
    all: defined({
      env: { ...environmentOf(jobconf), ...described.cmdenv },
      exitCodes: wishes.anyExit === true ? "any" : undefined,
      reporter,
    }),
    reading: defined({ inputSeparator }),
    map: defined({
      separator,
      keyFields,
      ...(isShuffled && { sort, partitionBy, keySeparator }),
    }),
    partitions: isShuffled ? reduces : undefined,
    order: isShuffled ? order : undefined,
  };
}

/** What properties are refused for is said of the step's jobconf. */
function ofStep<T>(place: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SheafError) || error.code !== "USAGE") throw error;
    throw refused(`${place}: ${error.message.replace(/^-D /, "jobconf ")}`, error.hint ?? "");
  }
}

function cannotBeHad(place: string, name: string, value: string): SheafError {
  const hint = "Leave it out; docs/mrjob.md has those that can.";
  return refused(`${place}: jobconf ${name}=${value} cannot be had`, hint);
}

/** As Hadoop sets them for tasks: what is no letter or digit is an underscore. */
function environmentOf(jobconf: Jobconf): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(jobconf)
      .filter(([, value]) => !value.includes("\0"))
      .map(([name, value]) => [name.replace(/[^A-Za-z0-9]/g, "_"), value]),
  );
}

/** Of one property under both of its names there is one value. */
function checkAgreement(jobconf: Jobconf, place: string): void {
  const seen = new Map<string, readonly [name: string, value: string]>();
  for (const [name, value] of Object.entries(jobconf)) {
    const [other, before] = seen.get(nameOfToday(name)) ?? [];
    if (other !== undefined && before !== value && decidesResults(name)) {
      const what = `jobconf ${other} and ${name} differ: ${before}, ${value}`;
      throw refused(`${place}: ${what}`, "Give one of them.");
    }
    seen.set(nameOfToday(name), [name, value]);
  }
}

function refused(message: string, hint: string): SheafError {
  return new SheafError("JOB_INVALID", message, { hint });
}
