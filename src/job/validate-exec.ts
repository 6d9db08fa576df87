import { isAbsolute } from "node:path";
import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { type ExecPlan, execOf, fieldPartition } from "./exec.ts";
import type { CollectionPlan, FileRef, Job } from "./job-plan.ts";

/**
 * Checks where a job has programs (exec()), and what goes with them; its plans then say how their keys are
 * spread and their lines written.
 * @throws SheafError JOB_INVALID naming the field
 */
export function withPrograms(job: Job): Job {
  for (const field of ["setup", "teardown", "expect"] as const) {
    if (execOf(job[field]) !== undefined)
      throw invalid(field, "it cannot be a program", "Programs are map, combine and reduce: write a method.");
  }
  const maps = job.inputs.length > 0 ? job.inputs.map(({ map }) => map) : [job.map];
  const programs = maps.map((map) => execOf(map));
  const some = programs.find((one) => one !== undefined);
  const all = programs.every((one) => one !== undefined) ? (programs as readonly ExecPlan[]) : undefined;
  if (some !== undefined) {
    const pieces = job.named && programs.find((one) => one !== undefined && !isOfLines(one));
    if (pieces) {
      const hint = 'Let it write lines, each with the name of its collection first, or protocol: "json".';
      throw invalid("map", `among ${pieces.protocol} nothing tells which collection a pair is for`, hint);
    }
    if (job.teardown !== undefined)
      throw invalid("teardown", "the map is a program", "Let the program do it when its input has ended.");
    checkAlike(programs);
  }
  const collections = job.collections.map((plan) => planOf(plan, some, all));
  return Object.freeze({ ...job, collections: Object.freeze(collections) });
}

function isOfLines({ protocol }: ExecPlan): boolean {
  return protocol === "lines" || protocol === "json";
}

/** Absolute paths among the programs of a job and their arguments, "--rules=/etc/rules" too. */
export function programPaths({ map, inputs, collections }: Job): string[] {
  const ends = collections.flatMap(({ combine, reduce }) => [combine, reduce]);
  const programs = [map, ...inputs.map((input) => input.map), ...ends].map((one) => execOf(one));
  const words = programs.flatMap((program) => program?.argv ?? []);
  const paths = words.map((word) => (isAbsolute(word) ? word : word.slice(word.indexOf("=") + 1)));
  return [...new Set(paths.filter((path) => isAbsolute(path)))];
}

/** Where some keys were sorted, or spread, otherwise than others, equal ones would not meet. */
function checkAlike(programs: readonly (ExecPlan | undefined)[]): void {
  const rules = programs.map((one) =>
    JSON.stringify([
      one?.protocol,
      one?.sort ?? null,
      one?.partitionBy ?? null,
      one?.sort || one?.partitionBy ? String(one.keySeparator) : null,
    ]),
  );
  const special = programs.some((one) => one?.sort !== undefined || one?.partitionBy !== undefined);
  if (!special || new Set(rules).size === 1) return;
  throw invalid(
    "map",
    "its programs differ in how keys are sorted or spread",
    "Give all maps exec() with the same protocol, sort, partitionBy and keySeparator.",
  );
}

function planOf(
  plan: CollectionPlan,
  some: ExecPlan | undefined,
  all: readonly ExecPlan[] | undefined,
): CollectionPlan {
  const at = (field: string): string => (plan.name === "" ? field : `collections.${plan.name}.${field}`);
  const reduce = execOf(plan.reduce);
  const combine = execOf(plan.combine);
  if (execOf(plan.partition) !== undefined)
    throw invalid(
      at("partition"),
      "it cannot be a program",
      "Give the map's exec() partitionBy, or a method.",
    );
  for (const [field, program] of [["reduce", reduce] as const, ["combine", combine] as const]) {
    const stray = program?.sort !== undefined ? "sort" : program?.partitionBy && "partitionBy";
    if (stray)
      throw invalid(at(field), `${stray} has nothing to decide here`, `Give ${stray} to exec() of the map.`);
  }
  if (combine !== undefined && plan.name !== "")
    throw invalid(at("combine"), "a program combines in jobs without collections only", "Leave it out.");
  if (some === undefined) return withLines(plan, reduce, undefined);
  if (some.protocol !== "json" && plan.groupBy !== undefined) {
    const hint = "Keys of a program are texts or bytes: use partitionBy and sort of exec(), or its json.";
    throw invalid(at("groupBy"), "the map is a program", hint);
  }
  const { sort, partitionBy } = some;
  if (plan.order === "total" && partitionBy !== undefined) {
    const hint =
      'With order "total" the ranges of keys decide which part a key is in. Leave out one of the two.';
    throw invalid(at("order"), "exec() of the map has partitionBy", hint);
  }
  // Sorting is for those collections that are shuffled.
  if (plan.mapOnly && plan.name !== "") return withLines(plan, reduce, all);
  if (sort !== undefined) checkSort(plan, all ?? [some], reduce, combine);
  if (sort === undefined && partitionBy === undefined) return withLines(plan, reduce, all);
  if (plan.mapOnly) {
    const what = sort === undefined ? "partitionBy" : "sort";
    throw invalid("map", `${what} of exec() needs a reduce`, 'Give one, or order: "hash" for none.');
  }
  if (plan.partition !== undefined && partitionBy !== undefined)
    throw invalid(at("partition"), "exec() has partitionBy, too", "Leave out one of the two.");
  if (plan.order === "total") return withLines(plan, reduce, all);
  const partition = plan.partition ?? Object.assign(fieldPartition(some), { fields: true });
  return withLines({ ...plan, partition }, reduce, all);
}

function checkSort(
  plan: CollectionPlan,
  maps: readonly ExecPlan[],
  reduce: ExecPlan | undefined,
  combine: ExecPlan | undefined,
): void {
  const number = [...maps, combine].some((one) => one?.values === "number");
  if (number) {
    const hint = 'Leave values: "number" out: programs read lines as they are.';
    throw invalid("map", "sort of exec() is for values that are texts", hint);
  }
  if (plan.reduce === undefined && plan.output !== undefined && plan.output.nativeOutput !== "text") {
    const hint = "Leave the output out for lines, or give a program as reduce.";
    throw invalid("output", "with sort of exec() and no reduce the results are lines", hint);
  }
  const isFine =
    plan.aggregator === undefined &&
    (plan.reduce === undefined || reduce?.inputProtocol === "lines") &&
    (plan.combine === undefined || combine?.inputProtocol === "lines") &&
    (plan.partition === undefined || "fields" in plan.partition);
  if (isFine) return;
  throw invalid(
    "map",
    "sort of exec() is for programs that read lines, as reduce and combine",
    "Leave it out.",
  );
}

/** Results that are lines of a program are written as they are. */
function withLines(
  plan: CollectionPlan,
  reduce: ExecPlan | undefined,
  maps: readonly ExecPlan[] | undefined,
): CollectionPlan {
  const own = plan.reduce === undefined && plan.aggregator === undefined ? maps : reduce && [reduce];
  const lines = own?.every(({ protocol }) => protocol === "lines") === true ? own[0]!.separator : undefined;
  if (lines !== undefined && !plan.mapOnly && own!.some(({ separator }) => !separator.equals(lines))) {
    const hint = "Give all maps exec() with the same separator, or a reduce.";
    throw invalid("map", "its programs differ in the separator that the results would have", hint);
  }
  return Object.freeze(lines === undefined ? plan : { ...plan, lines });
}

/** @throws SheafError JOB_INVALID */
export function checkFiles(files: unknown): readonly FileRef[] {
  if (files === undefined) return Object.freeze([]);
  const hint = 'Give paths: files: ["mapper.py", "lists/stop.txt#words.txt"].';
  if (!Array.isArray(files)) throw invalid("files", `${printValue(files)} is no list of paths`, hint);
  const names = new Set<string>();
  return Object.freeze(
    files.map((text: unknown) => {
      if (typeof text !== "string" || text === "")
        throw invalid("files", `${printValue(text)} is no path`, hint);
      const at = text.lastIndexOf("#");
      const file = at > 0 ? text.slice(0, at) : text;
      const name = at > 0 ? text.slice(at + 1) : file.replace(/\/+$/, "").replace(/^.*\//, "");
      if (name === "" || name === "." || name === ".." || /[/\\\0]/.test(name))
        throw invalid("files", `"${text}" gives it no name that a file can have`, hint);
      if (names.has(name)) {
        const rename = `Give one of them another name: "${file}#another".`;
        throw invalid("files", `two of them are called ${name}`, rename);
      }
      names.add(name);
      return Object.freeze({ name, file });
    }),
  );
}

function invalid(field: string, problem: string, hint: string): SheafError {
  return new SheafError("JOB_INVALID", `${field}: ${problem}`, { hint, details: { field } });
}
