/** A starter project for one kind of job. */
export interface Template {
  /** Name of the job in sheaf.json and of its file. */
  readonly job: string;
  /** What the job does, one sentence. */
  readonly about: string;
  /** jobs/NAME.ts. */
  readonly source: string;
  /** test/NAME.test.ts. */
  readonly test: string;
  /** Commands that make input and run the job, in order. */
  readonly commands: readonly string[];
}
