import { describeThrown, type SheafError } from "../base/errors.ts";
import { jsonParser } from "../base/json-numbers.ts";
import { settings } from "../base/limits.ts";
import { suggest } from "../base/suggest.ts";
import type { JobOutline } from "../worker/messages.ts";
import type { JobRunOptions } from "./options.ts";
import { usage, wholeNumber } from "./resolve-options.ts";

/**
 * Partitions asked for by collection index; null where they follow from the input. One number for all is for
 * all that are shuffled.
 * @throws SheafError USAGE for a name that is no collection, or one without reduce and order
 */
export function partitionsOf(options: JobRunOptions, outline: JobOutline): (number | null)[] {
  const { partitions } = options;
  if (partitions === undefined) return outline.collections.map((collection) => collection.partitions);
  const checked = (count: number): number => wholeNumber(count, "partitions", settings.partitions);
  if (typeof partitions === "number") return outline.collections.map(() => checked(partitions));
  const names = outline.collections.map((collection) => collection.name);
  for (const name of Object.keys(partitions)) {
    checkName(name, names, "collection");
    if (outline.collections[names.indexOf(name)]!.mapOnly) throw noPartitions(name);
  }
  return outline.collections.map(({ name, partitions: own }) => {
    const given = Object.hasOwn(partitions, name) ? partitions[name] : undefined;
    return given === undefined ? own : checked(given);
  });
}

function noPartitions(name: string): SheafError {
  return usage(
    `partitions: collection "${name}" has neither reduce nor order, and so no partitions`,
    "It has a file for each map task: --split-size makes them more or fewer. Or give the collection a reduce.",
  );
}

/**
 * The params given, texts turned into what the job's default is.
 * @throws SheafError USAGE for a name the job does not have, or a text that is none of what belongs there
 */
export function paramsOf(options: JobRunOptions, outline: JobOutline): Record<string, unknown> {
  const params: Record<string, unknown> = {};
  for (const [name, given] of Object.entries(options.params ?? {})) {
    checkName(name, Object.keys(outline.params), "param");
    // As a field that is left out: the default.
    if (given === undefined) continue;
    params[name] = typeof given === "string" ? paramValue(name, given, outline.params[name]!) : given;
  }
  return params;
}

function paramValue(name: string, given: string, type: string): unknown {
  switch (type) {
    case "number": {
      const value = Number(given);
      if (given.trim() === "" || Number.isNaN(value))
        throw usage(`param ${name}: "${given}" is not a number`);
      // What is written out in digits is meant as it stands.
      const isRounded = /^\s*[-+]?\d+\s*$/.test(given) && !Number.isSafeInteger(value);
      if (isRounded || (!Number.isFinite(value) && /\d/.test(given))) {
        const what = isRounded
          ? "an integer beyond 2^53, which would be rounded"
          : "more than a double holds";
        throw usage(
          `param ${name}: "${given}" is ${what}`,
          "Make the job's default a text: it is then given as it stands.",
        );
      }
      return value;
    }
    case "bigint":
      if (!/^-?\d+$/.test(given)) throw usage(`param ${name}: "${given}" is not an integer`);
      return BigInt(given);
    case "boolean":
      if (given !== "true" && given !== "false") {
        throw usage(`param ${name}: "${given}" is neither "true" nor "false"`);
      }
      return given === "true";
    case "array":
    case "object":
    case "null":
      return jsonParam(name, given, type);
    default:
      return given;
  }
}

const parseParam = jsonParser("fail", "param", "give it as a text");

const jsonShapes = { array: "an array", object: "an object", null: "null" } as const;
const jsonHints = {
  array: `The job's default is an array. Give one as JSON: --set 'NAME=["a", 2]'.`,
  object: `The job's default is an object. Give one as JSON: --set 'NAME={"a": 2}'.`,
  null: `The job's default is null. Give any JSON, texts in quotes: --set 'NAME="a"'.`,
} as const;

/** The default says what must come: an array, an object, or for null anything. */
function jsonParam(name: string, given: string, type: keyof typeof jsonShapes): unknown {
  const hint = jsonHints[type].replace("NAME", name);
  let value: unknown;
  try {
    value = parseParam(given);
  } catch (error) {
    const isJson = !(error instanceof SyntaxError);
    throw usage(`param ${name}: ${isJson ? describeThrown(error) : `"${given}" is not JSON`}`, hint);
  }
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  if (type === "null" || (type === "array" ? Array.isArray(value) : isObject)) return value;
  throw usage(`param ${name}: ${given} is not ${jsonShapes[type]}`, hint);
}

function checkName(name: string, names: readonly string[], what: string): void {
  if (names.includes(name)) return;
  const near = suggest(name, names);
  const list = names.filter((one) => one !== "").join(", ");
  const hint =
    near === undefined ? (list === "" ? `The job has none.` : `It has: ${list}.`) : `Did you mean "${near}"?`;
  throw usage(`the job has no ${what} "${name}"`, hint);
}
