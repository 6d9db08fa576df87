import { cutText, printValue } from "./print-value.ts";

/** Every code a SheafError can carry. One list, so that documentation, tests and checks can walk it. */
export const ERROR_CODES = [
  "USAGE", // wrong flag, option or argument
  "JOB_INVALID", // the job definition is wrong; the message names the field
  "JOB_LOAD", // the job file cannot be bundled, loaded, or exports no job
  "CONFIG_LOAD", // sheaf.config.ts cannot be bundled, loaded, or gives no plain data
  "STORE_LOAD", // the module of a user's storage cannot be bundled, loaded, or exports none
  "PACKAGE_MISSING", // a package left outside the bundle that this machine does not have
  "INPUT_MISSING", // no such path, or a glob that matches nothing
  "INPUT_UNREADABLE", // permission, a FIFO, a link loop
  "INPUT_CHANGED", // an input file changed, shrank or vanished while the job ran
  "INPUT_CORRUPT", // compressed data cut or damaged
  "RECORD_TOO_LARGE",
  "RECORD_INVALID", // a record that its reader cannot decode
  "BAD_BUDGET", // more bad records than --max-bad allows
  "KEY_INVALID",
  "VALUE_INVALID",
  "NUMBER_RANGE", // an integer sum left the exactly representable range
  "PARTITION_INVALID", // a partitioner answered something that is no partition
  "EMIT_LATE", // emit after the task ended
  "USER_CODE", // map, combine, reduce, setup ... threw
  "USER_EXITED", // user code ended the worker
  "PROGRAM_UNUSABLE", // a program that is missing, not executable, or whose first line asks for what is not there
  "PROGRAM_FAILED", // a program ended with an exit code that is a failure, or by a signal
  "NO_PROGRESS", // no record finished within the no-progress timeout
  "OUT_OF_MEMORY",
  "WORKER_LOST",
  "OUTPUT_EXISTS",
  "OUTPUT_UNWRITABLE",
  "DISK_FULL",
  "BLOCK_CORRUPT", // a block whose checksum, header or length is wrong
  "NOT_DETERMINISTIC", // a map gave other output when it ran again
  "EXPECT_FAILED", // an `expect` gate said no
  "CANCELLED",
  "PREDECESSOR_FAILED", // a job that this one was to follow has not succeeded
  "NOT_FOUND", // no such job, task or capsule
  "UNAUTHORIZED", // no token, or not one for this
  "FORBIDDEN", // understood and refused: a path outside the roots, a foreign host name ...
  "UNREACHABLE", // a coordinator or agent that does not answer
  "VERSION_MISMATCH", // client, agent and coordinator speak different protocols
  "FENCED", // a life of an agent that is over
  "NAME_TAKEN", // another agent of the same name is alive, or another schedule has it
  "LIMIT_EXCEEDED", // too many tasks, too large a body ...
  "NO_AGENTS", // no machine can run the job
  "STATE_LOCKED", // another coordinator uses this state directory
  "STATE_CORRUPT", // the coordinator's state is damaged
  "CERTIFICATE_INVALID", // expired, of another authority, for another name, unreadable
  "TOKEN_INVALID", // a token file that is missing, damaged or open to others
  "MESSAGE_INVALID", // a message, or an id in one, that is not of the form it must have
  "INTERNAL", // a bug in sheaf
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** Texts of an error beyond these lose their middle: what is thrown is shown, sent and kept. */
export const errorCharsMax = 20_000;
const nameCharsMax = 200;
const thrownValueChars = 1_000;

export interface ErrorOptions {
  /** What the user can do about it, one or two sentences. */
  readonly hint?: string;
  /** Whether trying the same again may succeed. Default false. */
  readonly retryable?: boolean;
  readonly cause?: unknown;
  /** Where it happened, for machines: path, offset, key, task ... Plain data only. */
  readonly details?: Readonly<Record<string, string | number | boolean | null>>;
}

/** The only error class sheaf throws on purpose: a code, what was given, and what to do. */
export class SheafError extends Error {
  override readonly name = "SheafError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, string | number | boolean | null>>;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.retryable = options.retryable ?? false;
    this.details = options.details ?? {};
  }
}

const codes: ReadonlySet<unknown> = new Set(ERROR_CODES);

export function isErrorCode(value: unknown): value is ErrorCode {
  return codes.has(value);
}

/** True for SheafErrors of this or another copy of the package (worker bundles may hold their own). */
export function isSheafError(error: unknown): error is SheafError {
  try {
    return (
      error instanceof Error && error.name === "SheafError" && "code" in error && isErrorCode(error.code)
    );
  } catch {
    // A revoked proxy, or a getter that throws: none of ours.
    return false;
  }
}

/** What can be told of anything thrown. Plain data, each text cut to its length in `limits`. */
export interface PlainError {
  /** Of a SheafError; null for everything else. */
  readonly code: ErrorCode | null;
  /** "TypeError"; for what is no Error what it is: "string", "object". */
  readonly name: string;
  readonly message: string;
  readonly hint: string | null;
  readonly stack: string | null;
  /** Of a SheafError: those of its details that are plain. */
  readonly details: SheafError["details"];
}

/**
 * Makes plain data of what was thrown, whatever it is: fields of other types than an Error's, getters that
 * throw, a revoked proxy, a text of megabytes. Never throws.
 */
export function plainError(thrown: unknown): PlainError {
  const known = isSheafError(thrown);
  const isError = known || isOrdinaryError(thrown);
  const read = (field: string): unknown => (isError ? readField(thrown, field) : undefined);
  const textOf = (field: string, charsMax: number): string | null => {
    const value = read(field);
    return typeof value === "string" && value !== "" ? cutText(value, charsMax) : null;
  };
  const name = textOf("name", nameCharsMax);
  return {
    code: known ? (read("code") as ErrorCode) : null,
    name: isError ? (name ?? "Error") : typeof thrown,
    message: textOf("message", errorCharsMax) ?? printThrown(isError, thrown, read("message"), name),
    hint: known ? textOf("hint", errorCharsMax) : null,
    stack: textOf("stack", errorCharsMax),
    details: known ? plainDetails(read("details")) : {},
  };
}

/** The text of anything that can be thrown: an Error, a string, undefined, an object with a cycle. */
export function describeThrown(thrown: unknown): string {
  return plainError(thrown).message;
}

function printThrown(isError: boolean, thrown: unknown, message: unknown, name: string | null): string {
  if (!isError && typeof thrown === "string") return cutText(thrown, errorCharsMax);
  if (!isError) return `thrown value: ${printValue(thrown, thrownValueChars)}`;
  if (message === undefined || message === "") return name ?? "Error";
  return `an error whose message is no text: ${printValue(message, thrownValueChars)}`;
}

function isOrdinaryError(thrown: unknown): boolean {
  try {
    return thrown instanceof Error;
  } catch {
    return false;
  }
}

function readField(from: unknown, field: string): unknown {
  try {
    return (from as Record<string, unknown>)[field];
  } catch {
    return undefined;
  }
}

function plainDetails(details: unknown): SheafError["details"] {
  const plain: Record<string, string | number | boolean | null> = {};
  for (const name of ["path", "offset", "key", "task"]) {
    const value = readField(details, name);
    if (typeof value === "string") plain[name] = cutText(value, errorCharsMax);
    else if (typeof value === "boolean" || value === null || Number.isFinite(value))
      plain[name] = value as never;
  }
  return plain;
}

/** For the branch no value can reach; a new union member then fails to compile. */
export function unreachable(value: never): never {
  throw new SheafError("INTERNAL", `unreachable: ${String(value)}`);
}
