/**
 * Of the messages between client, coordinator and agents. A coordinator refuses agents and clients of another
 * version, naming both.
 */
export const PROTOCOL_VERSION = 1;

/** Request headers, as Node gives them. */
export const HEADERS = {
  /** Process id of the worker that asks for a task: decimal digits. */
  workerPid: "worker-pid",
  /** Of sheaf's own agents, with `PUT /task` and task reports: who asks, in which of its lives and slots. */
  agent: "sheaf-agent",
  incarnation: "sheaf-incarnation",
  slot: "sheaf-slot",
  /** Number of the slot's question (see `workerReady` of the scheduler). */
  ask: "sheaf-ask",
  /** Of a submission: the same key submits the same job once. */
  idempotencyKey: "idempotency-key",
  protocol: "sheaf-protocol",
} as const;

/** States of a task as numbers on the wire. FROZEN. */
export const TASK_STATUS = {
  BLOCKED: 1,
  READY: 2,
  RUNNING: 3,
  FINISHED: 4,
  FAILED: 5,
  CANCELLED: 6,
} as const;

/** States of a job as numbers on the wire. FROZEN. DONE: nothing more is to be had, the worker may exit. */
export const JOB_STATUS = { RUNNING: 1, DONE: 2, FAILED: 3, CANCELLED: 4 } as const;

/** How long a coordinator holds a question for work or orders open before it answers "later", ms. */
export const longPollMs = 20_000;
