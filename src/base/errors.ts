/** Every code a SheafError can carry. One list, so that documentation and tests can walk it. */
export type ErrorCode =
  | "USAGE" // wrong flag, option or argument
  | "JOB_INVALID" // the job definition is wrong; the message names the field
  | "JOB_LOAD" // the job file cannot be bundled, loaded, or exports no job
  | "INPUT_MISSING" // no such path, or a glob that matches nothing
  | "INPUT_UNREADABLE" // permission, a FIFO, a link loop
  | "INPUT_CHANGED" // an input file changed, shrank or vanished while the job ran
  | "INPUT_CORRUPT" // compressed data cut or damaged
  | "RECORD_TOO_LARGE"
  | "RECORD_INVALID" // a record that its reader cannot decode
  | "BAD_BUDGET" // more bad records than --max-bad allows
  | "KEY_INVALID"
  | "VALUE_INVALID"
  | "NUMBER_RANGE" // an integer sum left the exactly representable range
  | "PARTITION_INVALID" // a partitioner answered something that is no partition
  | "EMIT_LATE" // emit after the task ended
  | "USER_CODE" // map, combine, reduce, setup ... threw
  | "USER_EXITED" // user code ended the worker
  | "NO_PROGRESS" // no record finished within the no-progress timeout
  | "OUT_OF_MEMORY"
  | "WORKER_LOST"
  | "OUTPUT_EXISTS"
  | "OUTPUT_UNWRITABLE"
  | "DISK_FULL"
  | "BLOCK_CORRUPT" // a block whose checksum, header or length is wrong
  | "NOT_DETERMINISTIC" // a map gave other output when it ran again
  | "EXPECT_FAILED" // an `expect` gate said no
  | "CANCELLED"
  | "NOT_FOUND" // no such job, task or capsule
  | "UNAUTHORIZED" // no token, or not one for this
  | "FORBIDDEN" // understood and refused: a path outside the roots, a foreign host name ...
  | "UNREACHABLE" // a coordinator or agent that does not answer
  | "VERSION_MISMATCH" // client, agent and coordinator speak different protocols
  | "FENCED" // a life of an agent that is over
  | "LIMIT_EXCEEDED" // too many tasks, too large a body ...
  | "NO_AGENTS" // no machine can run the job
  | "STATE_LOCKED" // another coordinator uses this state directory
  | "STATE_CORRUPT" // the coordinator's state is damaged
  | "CERTIFICATE_INVALID" // expired, of another authority, for another name, unreadable
  | "TOKEN_INVALID" // a token file that is missing, damaged or open to others
  | "MESSAGE_INVALID" // a message, or an id in one, that is not of the form it must have
  | "INTERNAL"; // a bug in sheaf

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

/** True for SheafErrors of this or another copy of the package (worker bundles may hold their own). */
export function isSheafError(error: unknown): error is SheafError {
  return error instanceof Error && error.name === "SheafError" && "code" in error;
}

/** The text of anything that can be thrown: an Error, a string, undefined, an object with a cycle. */
export function describeThrown(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message === "" ? thrown.name : thrown.message;
  if (typeof thrown === "string") return thrown;
  try {
    const text = typeof thrown === "object" && thrown !== null ? JSON.stringify(thrown) : String(thrown);
    return `thrown value: ${text}`;
  } catch {
    return "thrown value that cannot be printed";
  }
}

/** For the branch no value can reach; a new union member then fails to compile. */
export function unreachable(value: never): never {
  throw new SheafError("INTERNAL", `unreachable: ${String(value)}`);
}
