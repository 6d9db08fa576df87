import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { suggest } from "../base/suggest.ts";
import { auxEntry, auxProblem } from "./aux.ts";
import type { CollectionPlan, Job, NamedInput } from "./job-plan.ts";
import { findOtherThanPlainData, isPlainObject } from "./plain-data.ts";
import { checkCollection, COLLECTION_FIELDS } from "./validate-collection.ts";
import { checkFiles, withPrograms } from "./validate-exec.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Of job(). */
export const JOB_FIELDS = [
  "name",
  "input",
  "inputs",
  "map",
  "setup",
  "teardown",
  "params",
  "aux",
  "files",
  "stores",
  "expect",
  "seed",
  "collections",
] as const;

/** Names become directories, and parts of flags. */
const COLLECTION_NAME = /^[A-Za-z][\w-]*$/;

const INPUT_NAME = /^[A-Za-z]\w*$/;

/**
 * Checks a job definition and fills in what was left out.
 * @throws SheafError JOB_INVALID naming the first field that is wrong
 */
export function checkJob(definition: unknown): Job {
  if (!isPlainObject(definition)) {
    throw invalid(
      "job()",
      `${printValue(definition)} is no job definition`,
      "Give an object: job({ input, map, reduce }).",
    );
  }
  checkFieldNames(definition, "job", [...JOB_FIELDS, ...COLLECTION_FIELDS]);
  const named = definition["collections"] !== undefined;
  const { name, seed } = definition;
  if (name !== undefined && (typeof name !== "string" || name.trim() === "")) {
    throw invalid(
      "name",
      `${printValue(name)} is no name`,
      "Give a text that is not empty, or leave it out.",
    );
  }
  if (seed !== undefined && !Number.isSafeInteger(seed)) {
    throw invalid("seed", `${printValue(seed)} is no seed`, "Give an integer, or leave it out for 0.");
  }
  const inputs = definition["inputs"] === undefined ? [] : checkInputs(definition);
  if (inputs.length === 0) checkInput("input", definition["input"]);
  const collections = named ? checkCollections(definition) : [checkCollection("", definition)];
  checkUntil(definition["input"], collections);
  const functions = [...(inputs.length === 0 ? ["map"] : []), "setup", "teardown", "expect"];
  for (const field of functions) checkFunction(field, definition[field]);
  return withPrograms({
    sheaf: "job",
    name: name as string | undefined,
    input: definition["input"] as Job["input"],
    collections: Object.freeze(collections),
    named,
    map: definition["map"] as Job["map"],
    ...inputs[0],
    inputName: "",
    inputs: Object.freeze(inputs),
    setup: definition["setup"] as Job["setup"],
    teardown: definition["teardown"] as Job["teardown"],
    params: checkParams(definition["params"]),
    aux: checkAux(definition["aux"]),
    files: checkFiles(definition["files"]),
    stores: checkStores(definition["stores"]),
    expect: definition["expect"] as Job["expect"],
    seed: (seed as number | undefined) ?? 0,
  });
}

function checkCollections(definition: Fields): CollectionPlan[] {
  const { collections } = definition;
  if (!isPlainObject(collections)) {
    const hint = "Give an object: collections: { byCity: { reduce: count() } }.";
    throw invalid("collections", `${printValue(collections)} is no object`, hint);
  }
  const misplaced = COLLECTION_FIELDS.find((field) => definition[field] !== undefined);
  if (misplaced !== undefined) {
    const hint = `Move it into the collections it is for: collections: { name: { ${misplaced} } }.`;
    throw invalid(misplaced, "a job with collections has this per collection", hint);
  }
  const names = Object.keys(collections);
  if (names.length === 0) {
    throw invalid("collections", "there are none", "Name at least one, or use reduce without collections.");
  }
  if (definition["map"] === undefined) {
    throw invalid(
      "map",
      "a job with collections needs one",
      "Only map can tell what goes to which collection.",
    );
  }
  const lowerCase = new Map<string, string>();
  return names.map((name) => {
    if (!COLLECTION_NAME.test(name)) {
      const hint = 'Names are directories of the output: a letter, then letters, digits, "_" and "-".';
      throw invalid("collections", `${JSON.stringify(name)} is no name of a collection`, hint);
    }
    const other = lowerCase.get(name.toLowerCase());
    if (other !== undefined) {
      const hint = "They would be the same directory on some file systems. Rename one.";
      throw invalid("collections", `"${other}" and "${name}" differ in case only`, hint);
    }
    lowerCase.set(name.toLowerCase(), name);
    const options = collections[name];
    if (!isPlainObject(options)) {
      const hint = `Give an object: ${name}: { reduce: count() }.`;
      throw invalid(`collections.${name}`, `${printValue(options)} is no object`, hint);
    }
    checkFieldNames(options, `collections.${name}`, COLLECTION_FIELDS);
    return checkCollection(name, options);
  });
}

/** @throws SheafError JOB_INVALID */
function checkInputs({ input, inputs, map }: Fields): NamedInput[] {
  if (input !== undefined) {
    throw invalid("inputs", "the job has an input, too", "Give one of them: input, or inputs by name.");
  }
  const hint = "Give readers by name: inputs: { customers: csv(), orders: jsonl() }.";
  if (!isPlainObject(inputs)) throw invalid("inputs", `${printValue(inputs)} is no object`, hint);
  const names = Object.keys(inputs);
  if (names.length === 0) throw invalid("inputs", "there are none", hint);
  for (const name of names) {
    if (!INPUT_NAME.test(name)) {
      const hint = 'Names stand before "=" on the command line: a letter, then letters, digits and "_".';
      throw invalid("inputs", `${JSON.stringify(name)} is no name of an input`, hint);
    }
    checkInput(`inputs.${name}`, inputs[name]);
    if (!("decoder" in (inputs[name] as object))) {
      const hint = "Of several inputs each is read from files. Generate records in a job of their own.";
      throw invalid(`inputs.${name}`, "generated records have no path", hint);
    }
  }
  if (!isPlainObject(map)) {
    const example = names.map((name) => `${name}(record, emit) { ... }`).join(", ");
    const problem = map === undefined ? "it is missing" : `${printValue(map)} is one for all inputs`;
    throw invalid("map", problem, `Give each input its own: map: { ${example} }.`);
  }
  checkFieldNames(map, "map", names);
  return names.map((name) => {
    if (!Object.hasOwn(map, name) || map[name] === undefined) {
      throw invalid(
        `map.${name}`,
        "it is missing",
        `Say what to make of a record: ${name}(record, emit) { ... }.`,
      );
    }
    checkFunction(`map.${name}`, map[name]);
    return {
      inputName: name,
      input: inputs[name] as NamedInput["input"],
      map: map[name] as NamedInput["map"],
    };
  });
}

function checkInput(field: string, input: unknown): void {
  const hint = "Give a reader or a source, called: text(), csv(), jsonl(), generate({ ... }).";
  if (input === undefined) throw invalid(field, "it is missing", hint);
  if (typeof input === "function") {
    throw invalid(
      field,
      `${printValue(input)} is a function`,
      `Did you mean ${input.name || "it"}()? ${hint}`,
    );
  }
  if (auxEntry(input).kind === "table") {
    const hint = "Leave the path out: what a job reads is named when it is run.";
    throw invalid(field, "it is a table of side data", hint);
  }
  const fields = (typeof input === "object" && input !== null ? input : {}) as Fields;
  const isReader = typeof fields["decoder"] === "function" && typeof fields["framing"] === "object";
  const isSource = fields["kind"] === "generate" && typeof fields["records"] === "function";
  if (typeof fields["kind"] !== "string" || !(isReader || isSource)) {
    throw invalid(field, `${printValue(input)} is neither a reader nor a source`, hint);
  }
}

/** A stop condition is asked of what map tasks have aggregated. */
function checkUntil(input: unknown, collections: readonly CollectionPlan[]): void {
  if ((input as { until?: unknown } | undefined)?.until === undefined) return;
  if (collections.some(({ aggregator, groupBy }) => aggregator !== undefined && groupBy === undefined))
    return;
  throw invalid(
    "input",
    "its stop condition (until) has no results to look at",
    "They come from a reduce that is an aggregator, without groupBy: reduce: stats({ rtp: confidence() }).",
  );
}

function checkParams(params: unknown): Fields {
  if (params === undefined) return Object.freeze({});
  const hint = "Parameters travel to other threads and machines: plain JSON data, with names.";
  if (!isPlainObject(params)) throw invalid("params", `${printValue(params)} is no object`, hint);
  const found = findOtherThanPlainData(params, "params");
  if (found !== undefined) throw invalid("params", `not plain data at ${found}`, hint);
  return params;
}

function checkAux(aux: unknown): Fields {
  if (aux === undefined) return Object.freeze({});
  if (!isPlainObject(aux)) {
    const hint = "Give an object: aux: { stopWords: { file: 'stop-words.txt' } }.";
    throw invalid("aux", `${printValue(aux)} is no object`, hint);
  }
  for (const [name, value] of Object.entries(aux)) {
    const found = auxProblem(value);
    if (found !== null) throw invalid(`aux.${name}`, found.problem, found.hint);
  }
  return aux;
}

function checkStores(stores: unknown): Readonly<Record<string, string>> {
  if (stores === undefined) return Object.freeze({});
  const hint = 'Give the paths of their modules, by scheme: stores: { gs: "./gs-store.ts" }.';
  if (!isPlainObject(stores)) throw invalid("stores", `${printValue(stores)} is no object`, hint);
  for (const [scheme, path] of Object.entries(stores)) {
    if (typeof path === "string" && path !== "") continue;
    throw invalid(`stores.${scheme}`, `${printValue(path)} is no path`, hint);
  }
  return Object.freeze({ ...stores }) as Readonly<Record<string, string>>;
}

function checkFunction(field: string, value: unknown): void {
  if (value === undefined || typeof value === "function") return;
  throw invalid(
    field,
    `${printValue(value)} is no function`,
    `Write it as a method: ${field.replace(/.*\./, "")}(...) { ... }.`,
  );
}

/** @throws SheafError JOB_INVALID for a name that is not among the known ones */
export function checkFieldNames(fields: object, where: string, known: readonly string[]): void {
  for (const name of Object.keys(fields)) {
    if (known.includes(name)) continue;
    const near = suggest(name, known);
    const hint = near === undefined ? `There are: ${known.join(", ")}.` : `Did you mean "${near}"?`;
    throw invalid(`${where}.${name}`, "no such field", hint);
  }
}

/** What is wrong with a field of a job, or of a step of a pipeline. */
export function invalid(field: string, problem: string, hint: string): SheafError {
  return new SheafError("JOB_INVALID", `${field}: ${problem}`, { hint, details: { field } });
}
