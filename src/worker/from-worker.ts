import { dirname } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { errorCharsMax, isErrorCode } from "../base/errors.ts";
import {
  type Check,
  anything,
  check,
  fields,
  finite,
  flag,
  list,
  oneOf,
  optional,
  orNull,
  plainObject,
  textUpTo,
  whole,
  wrong,
  WrongField,
} from "../base/field-checks.ts";
import { limits } from "../base/limits.ts";
import { outputNameProblem } from "../base/output-name.ts";
import { printValue } from "../base/print-value.ts";
import { cutSplit } from "../task/cut-split.ts";
import type { TaskResult, TaskSpec, TaskSuccess } from "../task/task-spec.ts";
import type { FromWorker } from "./messages.ts";
import { noMessage } from "./worker-channel.ts";

/*
 * Where what a worker says becomes something the engine acts on. User code runs in the same process and may
 * send what it likes: a message is checked, field by field, and files it names must be those of the attempt
 * that runs.
 */

/** Texts of a failure may have a few words more than what they were cut to. */
const textCharsMax = errorCharsMax + 1_000;
const pathCharsMax = 32_768;

const counters: Check = (value, field) => {
  plainObject(value, field);
  const names = Object.keys(value as object);
  if (names.length > limits.countersMax) throw wrong(field, `there are ${names.length} of them`);
  for (const name of names) {
    textUpTo(limits.counterNameCharsMax)(name, field);
    finite((value as Record<string, unknown>)[name], `${field}.${name}`);
  }
};

const failure = fields({
  kind: oneOf("failure"),
  code: check(isErrorCode, "an error code"),
  message: textUpTo(textCharsMax),
  hint: orNull(textUpTo(textCharsMax)),
  name: textUpTo(textCharsMax),
  stack: orNull(textUpTo(textCharsMax)),
  phase: textUpTo(100),
  blame: oneOf("user", "data", "system"),
  path: orNull(textUpTo(pathCharsMax)),
  offset: orNull(finite),
  record: orNull(textUpTo(textCharsMax)),
  key: orNull(textUpTo(textCharsMax)),
  log: list(textUpTo(textCharsMax), 100),
});

const part = fields({
  kind: oneOf("output", "collected", "records"),
  collection: whole,
  partition: whole,
  roll: whole,
  path: textUpTo(pathCharsMax),
  name: optional(check((value) => outputNameProblem(value) === undefined, "a name of directories")),
  extension: textUpTo(100),
  bytes: whole,
  records: whole,
  crc32c: whole,
  headerBytes: optional(whole),
  layout: optional(textUpTo(textCharsMax)),
});

const numbers: Check = (value, field) => {
  plainObject(value, field);
  for (const [name, one] of Object.entries(value as object)) finite(one, `${field}.${name}`);
};

const keep: Check = (value, field) => {
  plainObject(value, field);
  const shape =
    (value as { kind?: unknown }).kind === "kept"
      ? fields({
          kind: anything,
          run: orNull(
            fields({
              bytes: whole,
              fingerprint: textUpTo(64),
              path: optional(textUpTo(pathCharsMax)),
              owner: optional(plainObject),
            }),
          ),
          bad: orNull(fields({ bytes: whole, crc32c: whole })),
          namesMatter: flag,
        })
      : fields({ kind: oneOf("not kept"), why: textUpTo(textCharsMax) });
  shape(value, field);
};

const success = fields({
  kind: oneOf("success"),
  stats: numbers,
  counters,
  output: orNull(
    fields({
      task: whole,
      attempt: whole,
      path: orNull(textUpTo(pathCharsMax)),
      owner: optional(plainObject),
    }),
  ),
  parts: list(part),
  keys: list(list(textUpTo(limits.keyBytesMax * 2))),
  partitionBytes: list(list(finite)),
  pairs: list(finite),
  hotKeys: list(fields({ collection: whole, key: textUpTo(textCharsMax), values: finite }), 10_000),
  badPath: orNull(textUpTo(pathCharsMax)),
  emptyFiles: optional(fields({ files: whole, names: list(textUpTo(pathCharsMax), limits.emptyFilesNamed) })),
  rest: optional(list(fields({ piece: whole, offset: whole }))),
  made: optional(whole),
  keep: optional(keep),
  adopted: optional(numbers),
  taken: optional(fields({ bytes: finite, isWhole: flag })),
});

const result: Check = (value, field) => {
  plainObject(value, field);
  ((value as { kind?: unknown }).kind === "failure" ? failure : success)(value, field);
};

const auxPath = fields({
  name: textUpTo(textCharsMax),
  file: textUpTo(pathCharsMax),
  many: optional(flag),
  bytes: optional(flag),
});

/** What plans are made of; whoever plans checks what the numbers in it may be. */
const outline: Check = (value, field) => {
  plainObject(value, field);
  const { collections, params, aux, files, input, inputs, steps } = value as Record<string, unknown>;
  list(plainObject, 1_000)(collections, `${field}.collections`);
  list(auxPath, limits.jobPartsMax)(aux, `${field}.aux`);
  optional(list(fields({ name: textUpTo(textCharsMax), file: textUpTo(textCharsMax) }), limits.jobPartsMax))(
    files,
    `${field}.files`,
  );
  plainObject(params, `${field}.params`);
  plainObject(input, `${field}.input`);
  optional(list(fields({ name: textUpTo(textCharsMax), input: plainObject }), 1_000))(
    inputs,
    `${field}.inputs`,
  );
  optional(list(step, 1_000))(steps, `${field}.steps`);
};

const step: Check = (value, field) => {
  plainObject(value, field);
  outline((value as { job?: unknown }).job, `${field}.job`);
};

function bytes(lengthMax: number): Check {
  return check(
    (value) => value instanceof Uint8Array && value.length <= lengthMax,
    `at most ${lengthMax} bytes`,
  );
}

/** What is shown of it is for people, and passed on as text. */
const shown: Check = (value, field) => {
  let length: number | undefined;
  try {
    length = JSON.stringify(value)?.length;
  } catch {
    // A value that holds itself, or a bigint.
  }
  if (length === undefined || length > 3 * limits.liveEventCharsMax)
    throw wrong(field, `${printValue(value)} is no short JSON value`);
};

const folded = fields({
  merged: bytes(2 * limits.liveMergedBytesMax),
  collections: list(
    fields({
      name: textUpTo(textCharsMax),
      keys: whole,
      more: flag,
      top: list(fields({ key: shown, value: shown }), limits.liveKeysShownMax),
    }),
    limits.jobPartsMax,
  ),
  stop: flag,
});

const streams = oneOf("log", "stdout", "stderr");
const shapes: Readonly<Record<FromWorker["kind"], Check>> = {
  loading: fields({ kind: anything }),
  loaded: fields({ kind: anything, outline }),
  "load-failed": fields({ kind: anything, failure }),
  result: fields({ kind: anything, id: whole, result, spoiled: flag }),
  log: fields({
    kind: anything,
    id: orNull(whole),
    stream: streams,
    text: textUpTo(2 * limits.taskLogBytesMax),
  }),
  expected: fields({ kind: anything, refusal: orNull(textUpTo(textCharsMax)), failure: orNull(failure) }),
  told: fields({
    kind: anything,
    id: whole,
    states: bytes(2 * limits.liveBytesMax),
    records: whole,
    made: whole,
  }),
  prepared: fields({ kind: anything, failure: orNull(failure) }),
  folded: fields({ kind: anything, answer: orNull(folded), failure: orNull(failure) }),
  stray: fields({ kind: anything, failure }),
};

/** @throws SheafError MESSAGE_INVALID when it is no message of a worker */
export function readFromWorker(message: unknown): FromWorker {
  return told(() => {
    plainObject(message, "message");
    const { kind } = message as { kind?: unknown };
    if (typeof kind !== "string" || !Object.hasOwn(shapes, kind))
      throw wrong("kind", `${printValue(kind)} is no kind of message`);
    shapes[kind as FromWorker["kind"]](message, kind);
    return message as FromWorker;
  });
}

function told<T>(look: () => T): T {
  try {
    return look();
  } catch (error) {
    throw error instanceof WrongField ? noMessage(error.message) : error;
  }
}

/** @throws SheafError MESSAGE_INVALID when a result names what the attempt cannot have made */
export function checkResultOf(spec: TaskSpec, given: TaskResult): void {
  if (given.kind === "success") told(() => checkSuccessOf(spec, given));
}

function checkSuccessOf(spec: TaskSpec, given: TaskSuccess): void {
  const directories = spec.kind === "sample" ? [] : [spec.directory, spec.outputDirectory];
  const own = (path: string | null, field: string): void => {
    if (path !== null && !directories.includes(dirname(path)))
      throw wrong(field, `${printValue(path)} is no file of ${spec.kind} ${spec.index}`);
  };
  const { output, parts, badPath, rest } = given;
  if (rest !== undefined && (spec.kind !== "map" || rest.length === 0 || cutSplit(spec.split, rest) === null))
    throw wrong("rest", "its places are none of the task's input");
  own(badPath, "badPath");
  for (const { path } of parts) own(path, "parts");
  const kept = spec.kind === "map" ? spec.kept : undefined;
  const keep = given.keep?.kind === "kept" ? given.keep : null;
  if (given.adopted !== undefined && kept === undefined)
    throw wrong("adopted", "there was nothing to take over");
  own(keep?.run?.path ?? null, "keep");
  const keptOwner = keep?.run?.owner;
  if (keptOwner !== undefined && !isDeepStrictEqual(keptOwner, kept?.run?.owner))
    throw wrong("keep", "it is not what was kept");
  if (output === null) {
    if (spec.kind === "map") throw wrong("output", "a map has one, even when it emitted nothing");
    return;
  }
  if (output.owner !== undefined && !isDeepStrictEqual(output.owner, kept?.run?.owner))
    throw wrong("output", "it is not what was kept");
  own(output.path, "output");
  if (spec.kind !== "map" || output.task !== spec.index || output.attempt !== spec.attempt)
    throw wrong("output", `it is that of map ${output.task}, attempt ${output.attempt}`);
}
