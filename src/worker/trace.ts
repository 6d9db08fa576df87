import type { TaskContext } from "../job/context.ts";
import { execOf } from "../job/exec.ts";
import type { Job } from "../job/job-plan.ts";
import { PROGRESS_CELLS } from "../task/task-spec.ts";
import type { MapTaskSpec } from "../task/task-spec.ts";

/*
 * A record that ends its worker (a crash, an endless loop) cannot be named by the worker. So after a map
 * attempt has
 * ended that way, the next ones are traced: before each record its place is written to the progress board,
 * where the
 * parent finds it when the worker is gone. With --max-bad such a record is then set aside: later attempts
 * skip it.
 */

/**
 * Cells of the progress board behind those of PROGRESS_CELLS: which piece of which attempt (id * PIECES +
 * index + 1; 0:
 * none), and the offset in it.
 */
const TRACE_CELLS = {
  piece: Object.keys(PROGRESS_CELLS).length,
  offset: Object.keys(PROGRESS_CELLS).length + 1,
} as const;

/** More than a split has pieces. */
const PIECES = 2 ** 21;

/** Where a record lies. Plain data. */
export interface RecordPlace {
  /** Index into the split's pieces. */
  readonly piece: number;
  readonly offset: number;
}

/** A record to be skipped, and what it did to its worker. */
export interface PoisonRecord extends RecordPlace {
  readonly message: string;
}

/** How a map attempt is traced. */
export interface Trace {
  /** Names the attempt on the board, so that an earlier one's place is not taken for its own. */
  readonly id: number;
  readonly skip: readonly PoisonRecord[];
}

/** The record a traced attempt was at; null when it was at none. */
export function tracedPlace(board: Readonly<Float64Array>, { id }: Trace): RecordPlace | null {
  const piece = board[TRACE_CELLS.piece]! - id * PIECES - 1;
  const offset = board[TRACE_CELLS.offset]!;
  const isPlace = Number.isInteger(piece) && piece >= 0 && piece < PIECES && Number.isSafeInteger(offset);
  return isPlace && offset >= 0 ? { piece, offset } : null;
}

/**
 * The job with a map that tells the board where it is, and throws for the records to be skipped (which is how
 * a record is
 * set aside). `written` is called after the board has changed, before user code sees the record.
 */
export function tracedJob(
  job: Job,
  spec: MapTaskSpec,
  trace: Trace,
  board: Float64Array,
  written: () => void,
): Job {
  const { map } = job;
  // What a program is given it has not read yet.
  if (map === undefined || execOf(map) !== undefined) return job;
  const { pieces } = spec.split;
  let piece = 0;
  const isIn = (index: number, context: TaskContext): boolean => {
    const one = pieces[index];
    return one !== undefined && (one.kind === "generate" ? "" : one.name) === context.path;
  };
  return {
    ...job,
    map(record: unknown, emit: unknown, context: TaskContext): unknown {
      if (!isIn(piece, context))
        piece = Math.max(
          0,
          pieces.findIndex((_, index) => isIn(index, context)),
        );
      const { offset } = context;
      const poison = trace.skip.find((one) => one.offset === offset && one.piece === piece);
      if (poison !== undefined) throw new Error(poison.message);
      board[TRACE_CELLS.piece] = trace.id * PIECES + piece + 1;
      board[TRACE_CELLS.offset] = offset;
      written();
      return map.call(job, record, emit, context);
    },
    ...(job.teardown === undefined ? {} : { teardown: leaving(job.teardown, board) }),
  };
}

/** After the last record the attempt is at none. */
function leaving(teardown: NonNullable<Job["teardown"]>, board: Float64Array): NonNullable<Job["teardown"]> {
  return (context, emit) => {
    board[TRACE_CELLS.piece] = 0;
    return teardown(context, emit);
  };
}
