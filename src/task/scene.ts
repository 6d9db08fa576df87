import { plainError } from "../base/errors.ts";
import type { ErrorCode, PlainError } from "../base/errors.ts";
import { builtUrl } from "../base/package-places.ts";
import { cutText, printValue } from "../base/print-value.ts";
import { printKey } from "../codec/key-codec.ts";
import type { Key } from "../job/key.ts";
import { findOtherThanPlainData } from "../job/plain-data.ts";
import type { TaskFailure } from "./task-spec.ts";

const RECORD_CHARACTERS = 1_000;
const LOG_LINE_CHARACTERS = 400;

/** Codes that are about the data or the user's code, whatever phase they were found in. */
const USER_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "USER_CODE",
  "PROGRAM_UNUSABLE",
  "PROGRAM_FAILED",
  "KEY_INVALID",
  "VALUE_INVALID",
  "NUMBER_RANGE",
  "PARTITION_INVALID",
  "EMIT_LATE",
  "JOB_INVALID",
  "JOB_LOAD",
]);
const DATA_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "RECORD_INVALID",
  "RECORD_TOO_LARGE",
  "INPUT_CORRUPT",
  "INPUT_CHANGED",
  "INPUT_MISSING",
  "INPUT_UNREADABLE",
]);

/**
 * Thrown through user-facing loops to say which phase an error belongs to, and with which key; `cause` is
 * what was thrown.
 */
export class PhaseError extends Error {
  readonly phase: string;
  readonly key: Key | undefined;

  constructor(phase: string, cause: unknown, key?: Key) {
    super(phase, { cause });
    this.phase = phase;
    this.key = key;
  }
}

/** Where a task stands, kept up to date while it runs so that a failure can say where it happened. */
export class Scene {
  phase = "load";
  path: string | null = null;
  offset: number | null = null;
  record: unknown = undefined;
  key: unknown = undefined;
  readonly log: string[] = [];

  /** Keeps the last lines the task logged. */
  logged(line: string): void {
    this.log.push(cutText(line, LOG_LINE_CHARACTERS));
    if (this.log.length > 20) this.log.shift();
  }

  /** What was thrown, as the failure of this attempt. */
  failure(thrown: unknown): TaskFailure {
    const from = phaseErrorOf(thrown);
    const phase = from?.phase ?? this.phase;
    const error = plainError(from === null ? thrown : from.cause);
    const code = error.code ?? (thrownByEngine(error) ? "INTERNAL" : "USER_CODE");
    const { details } = error;
    const userish = USER_CODES.has(code);
    const dataish = DATA_CODES.has(code);
    // A combiner runs whenever memory is full: the record in hand has nothing to do with it.
    const onRecord = (userish || dataish) && phase !== "combine";
    const path =
      typeof details["path"] === "string" ? details["path"] : phase === "combine" ? null : this.path;
    const offset = typeof details["offset"] === "number" ? details["offset"] : onRecord ? this.offset : null;
    const key = from?.key ?? this.key;
    return {
      kind: "failure",
      code,
      message: error.message,
      hint: error.hint,
      name: error.name,
      stack: error.stack,
      phase,
      blame: userish ? "user" : dataish ? "data" : "system",
      path,
      offset,
      record: this.record === undefined || !onRecord ? null : printRecord(this.record),
      key: key === undefined || !userish ? null : printKey(key),
      log: [...this.log],
    };
  }
}

/** The PhaseError that was thrown; null for everything else, a revoked proxy too. */
export function phaseErrorOf(thrown: unknown): PhaseError | null {
  try {
    return thrown instanceof PhaseError ? thrown : null;
  } catch {
    return null;
  }
}

const ENGINE = builtUrl.href;

/** True for an error, no SheafError, whose innermost frame is the engine's: a bug of ours, not of the job. */
function thrownByEngine({ stack }: PlainError): boolean {
  const frame = stack?.split("\n").find((line) => line.startsWith("    at "));
  return frame?.includes(ENGINE) === true;
}

/** The record as text, cut to 1,000 characters; control characters are left to whoever prints it. */
export function printRecord(record: unknown): string {
  let text: string;
  if (typeof record === "string") text = record;
  else if (record instanceof Uint8Array)
    text = Buffer.from(record.subarray(0, RECORD_CHARACTERS)).toString("latin1");
  else text = plainJson(record) ?? printValue(record, RECORD_CHARACTERS);
  return text.length > RECORD_CHARACTERS ? `${text.slice(0, RECORD_CHARACTERS)}...` : text;
}

/** Undefined where JSON would be silent about what it has no form for. */
function plainJson(value: unknown): string | undefined {
  try {
    return findOtherThanPlainData(value, "") === undefined ? JSON.stringify(value) : undefined;
  } catch {
    return undefined;
  }
}
