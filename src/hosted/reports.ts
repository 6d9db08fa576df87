import type { TaskSuccess } from "../task/task-spec.ts";

/*
 * What tasks tell of themselves. When they have succeeded: one line of JSON each, in a file of its own among
 * the output. Engines take a stream that is cut for one that has ended: so maps say what they have sent, and
 * reduces what has come.
 */

/** On standard error of a task that has failed: before the JSON of its failure, on a line of its own. */
export const failureMark = "sheaf-error: ";
/**
 * On standard error, before what the engine is told while a task runs. Not Hadoop Streaming's own
 * "reporter:", which what user code starts may print, by the same pipe, without anybody in between.
 */
export const reporterMark = "sheaf-reporter:";

/** How one task of a hosted job went. */
export interface HostedReport {
  readonly task: string;
  /** Paths of parts and bad records are relative to the output: "files/map-00007/...". */
  readonly success: TaskSuccess;
  /** map: bytes of its slice for each reduce, by index; 0: there is none. */
  readonly sent?: readonly number[];
  /** reduce: how many maps had a slice for it, and the bytes of these. */
  readonly received?: { readonly maps: number; readonly bytes: number };
}

/** "reports/map-00007.jsonl" */
export function reportName(task: string): string {
  return `reports/${task}.jsonl`;
}

/** "files/map-00007/part-0-0.tsv" */
export function fileName(task: string, name: string): string {
  return `files/${task}/${name}`;
}
