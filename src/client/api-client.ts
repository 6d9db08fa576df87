import type { Readable } from "node:stream";
import { crcText } from "../base/crc32.ts";
import { SheafError } from "../base/errors.ts";
import type { RunEvent } from "../engine/events.ts";
import type {
  ErrandResult,
  Heartbeat,
  HeartbeatAnswer,
  Orders,
  OrdersQuestion,
  Register,
  Registered,
  SplitPage,
} from "../protocol/agent-messages.ts";
import type {
  AttemptView,
  BadInputs,
  ClusterView,
  JobStateText,
  JobSummary,
  JobView,
  NodeView,
} from "../protocol/job-view.ts";
import type { ScheduleRequest, ScheduleView } from "../protocol/schedule.ts";
import type { CapsuleFile } from "../protocol/slices.ts";
import type { Submission } from "../protocol/submission.ts";
import type {
  LogLines,
  MapOutputs,
  Preparation,
  Stray,
  TaskAnswer,
  TaskReport,
  TaskReportAnswer,
} from "../protocol/task-messages.ts";
import { HEADERS, PROTOCOL_VERSION, longPollMs } from "../protocol/version.ts";
import type { Download } from "./download.ts";
import { streamMessages } from "./event-stream.ts";
import { Http } from "./http.ts";
import type { CallOptions, HttpOptions, UploadSource } from "./http.ts";

export interface JobQuery {
  readonly name?: string | undefined;
  /** Of names: `*` stands for any characters, `?` for one. */
  readonly pattern?: string | undefined;
  readonly state?: JobStateText | undefined;
  readonly group?: string | undefined;
  readonly project?: string | undefined;
  readonly limit?: number | undefined;
}

/** Parts and collected files of a job: GET /jobs/{job}/results. */
export interface ResultList {
  readonly parts: JobView["parts"];
  readonly collected: JobView["collected"];
}

/** Files that a coordinator keeps of a job, by what they are. */
export type ResultKind = "output" | "collected" | "bad" | "records";

/** Which slot of which life of an agent speaks. */
export interface SlotIdentity {
  readonly agent: string;
  readonly incarnation: number;
  readonly slot: number;
  readonly ask: number;
  readonly workerPid: number | null;
}

/** One event of a job, with the number to resume behind it. */
export interface NumberedEvent {
  readonly number: number;
  readonly event: RunEvent;
}

/**
 * All that can be asked of a coordinator, one method per route. Every method throws the SheafErrors that the
 * coordinator answers with, and UNREACHABLE when nothing answers (after retries: see CallOptions; every call
 * may be repeated without harm). An aborted call rejects with the signal's reason.
 */
export class ApiClient {
  readonly url: string;
  readonly #http: Http;

  /** @throws SheafError USAGE when the URL is none */
  constructor(options: HttpOptions) {
    this.#http = new Http(options);
    this.url = this.#http.url;
  }

  /** Ends all connections; calls under way fail. */
  close(): Promise<void> {
    return this.#http.close();
  }

  /* What clients ask. */

  /** @throws SheafError VERSION_MISMATCH when the coordinator speaks another protocol */
  async cluster(call: CallOptions = {}): Promise<ClusterView> {
    const view = await this.#get<ClusterView>("/cluster", call);
    if (view.protocol === PROTOCOL_VERSION) return view;
    const both = `protocol ${view.protocol} (sheaf ${view.version}), this client ${PROTOCOL_VERSION}`;
    throw new SheafError("VERSION_MISMATCH", `${this.url}: the coordinator speaks ${both}`, {
      hint: "Install the same version of sheaf on both.",
    });
  }

  async nodes(call: CallOptions = {}): Promise<readonly NodeView[]> {
    return (await this.#get<{ nodes: NodeView[] }>("/nodes", call)).nodes;
  }

  bar(agent: string, reason: string, call: CallOptions = {}): Promise<NodeView> {
    return this.#post(`/nodes/${encodeURIComponent(agent)}/bar`, { reason }, call);
  }

  admit(agent: string, call: CallOptions = {}): Promise<NodeView> {
    return this.#post(`/nodes/${encodeURIComponent(agent)}/admit`, {}, call);
  }

  drain(agent: string, draining: boolean, call: CallOptions = {}): Promise<NodeView> {
    return this.#post(`/nodes/${encodeURIComponent(agent)}/drain`, { draining }, call);
  }

  /** Prometheus text. */
  async metrics(call: CallOptions = {}): Promise<Readable> {
    return (await this.#http.stream({ ...call, method: "GET", path: "/metrics" })).body;
  }

  async hasBlob(hash: string, call: CallOptions = {}): Promise<boolean> {
    const status = await this.#http.status({ ...call, method: "HEAD", path: `/blobs/${hash}`, allow: [404] });
    return status < 300;
  }

  /** The coordinator checks the content against its hash. */
  async putBlob(hash: string, source: UploadSource, call: CallOptions = {}): Promise<void> {
    const timeoutMs = call.timeoutMs ?? 60_000;
    await this.#http.status({ ...call, timeoutMs, method: "PUT", path: `/blobs/${hash}`, upload: source });
  }

  /** `idempotencyKey`: the same key submits the same job once, however often this is called. */
  submit(
    submission: Submission,
    idempotencyKey: string,
    call: CallOptions = {},
  ): Promise<{ job: string; isNew: boolean }> {
    const headers = { [HEADERS.idempotencyKey]: idempotencyKey };
    return this.#http.json({ ...call, method: "POST", path: "/jobs", json: submission, headers });
  }

  /** Newest first. */
  jobs(
    query: JobQuery = {},
    call: CallOptions = {},
  ): Promise<{ jobs: readonly JobSummary[]; truncated: boolean }> {
    return this.#get("/jobs", call, { ...query });
  }

  job(job: string, call: CallOptions = {}): Promise<JobView> {
    return this.#get(jobPath(job), call);
  }

  attempts(job: string, call: CallOptions = {}): Promise<readonly AttemptView[]> {
    return this.#get(`${jobPath(job)}/attempts`, call);
  }

  kill(job: string, reason: string, call: CallOptions = {}): Promise<JobSummary> {
    return this.#post(`${jobPath(job)}/kill`, { reason }, call);
  }

  /** Repeated after its answer was lost it may find no such job (NOT_FOUND). */
  delete(job: string, call: CallOptions = {}): Promise<JobSummary> {
    return this.#post(`${jobPath(job)}/delete`, {}, call);
  }

  attach(job: string, attached: boolean, call: CallOptions = {}): Promise<JobSummary> {
    return this.#post(`${jobPath(job)}/attach`, { attached }, call);
  }

  /** The same again changes nothing. @throws SheafError NAME_TAKEN for another one of that name */
  addSchedule(request: ScheduleRequest, call: CallOptions = {}): Promise<ScheduleView> {
    return this.#post("/schedules", request, call);
  }

  async schedules(call: CallOptions = {}): Promise<readonly ScheduleView[]> {
    return (await this.#get<{ schedules: ScheduleView[] }>("/schedules", call)).schedules;
  }

  removeSchedule(name: string, call: CallOptions = {}): Promise<ScheduleView> {
    return this.#post(`/schedules/${encodeURIComponent(name)}/remove`, {}, call);
  }

  pauseSchedule(name: string, paused: boolean, call: CallOptions = {}): Promise<ScheduleView> {
    return this.#post(`/schedules/${encodeURIComponent(name)}/pause`, { paused }, call);
  }

  /** Says that the attached client lives. */
  async clientBeat(job: string, call: CallOptions = {}): Promise<JobStateText> {
    return (await this.#post<{ state: JobStateText }>(`${jobPath(job)}/heartbeat`, {}, call)).state;
  }

  /**
   * The job's events behind number `after`, the past ones first, over one connection: ends behind the
   * last one (job-finished), or without it when the coordinator stops. `followEvents` joins several
   * connections.
   */
  async *events(job: string, after: number, call: CallOptions = {}): AsyncGenerator<NumberedEvent> {
    const path = `${jobPath(job)}/events`;
    const headers = { accept: "text/event-stream", ...(after > 0 ? { "last-event-id": String(after) } : {}) };
    const { body } = await this.#http.stream({ ...call, method: "GET", path, headers });
    try {
      for await (const { id, data } of streamMessages(body)) {
        yield { number: Number(id), event: JSON.parse(data) as RunEvent };
      }
    } catch (error) {
      call.signal?.throwIfAborted();
      throw this.#http.bodyError(error, { path });
    } finally {
      body.destroy();
    }
  }

  /** Lines "[map-00003.1 stdout] text"; with `follow` until the job is over. */
  logs(
    job: string,
    wanted: { readonly task?: string | undefined; readonly follow?: boolean | undefined },
    call: CallOptions = {},
  ): Promise<Download> {
    const query = { task: wanted.task, follow: wanted.follow === true ? 1 : undefined };
    return this.#download(`${jobPath(job)}/logs`, 0, call, query);
  }

  /** Of a job that has ended: what it takes to run its bad records again. */
  badInputs(job: string, call: CallOptions = {}): Promise<BadInputs> {
    return this.#get(`${jobPath(job)}/bad`, call);
  }

  results(job: string, call: CallOptions = {}): Promise<ResultList> {
    return this.#get(`${jobPath(job)}/results`, call);
  }

  /** A result file from byte `from` on. */
  resultFile(
    job: string,
    kind: ResultKind,
    index: number,
    from: number,
    call: CallOptions = {},
  ): Promise<Download> {
    return this.#download(`${jobPath(job)}/results/${kind}/${index}`, from, call);
  }

  /** What it takes to run a failed task again: capsule.json, the code it ran, what it read as a reduce. */
  capsule(job: string, task: string, file: CapsuleFile, call: CallOptions = {}): Promise<Download> {
    return this.#download(`${jobPath(job)}/capsules/${encodeURIComponent(task)}/${file}`, 0, call);
  }

  /* What agents ask. */

  register(register: Register, call: CallOptions = {}): Promise<Registered> {
    return this.#post("/agents", register, call);
  }

  heartbeat(agent: string, heartbeat: Heartbeat, call: CallOptions = {}): Promise<HeartbeatAnswer> {
    return this.#post(`/agents/${encodeURIComponent(agent)}/heartbeat`, heartbeat, call);
  }

  /** A long poll: empty after longPollMs. */
  orders(agent: string, question: OrdersQuestion, call: CallOptions = {}): Promise<Orders> {
    return this.#post(`/agents/${encodeURIComponent(agent)}/orders`, question, { ...longPoll, ...call });
  }

  /** This life of the agent is over, on purpose. */
  async leave(agent: string, incarnation: number, call: CallOptions = {}): Promise<void> {
    await this.#post(`/agents/${encodeURIComponent(agent)}/leave`, { incarnation }, call);
  }

  /** A page of a large plan, ahead of the errand's result. */
  async splits(errand: string, page: SplitPage, call: CallOptions = {}): Promise<void> {
    await this.#post(`/errands/${encodeURIComponent(errand)}/splits`, page, call);
  }

  async errandDone(errand: string, result: ErrandResult, call: CallOptions = {}): Promise<void> {
    await this.#post(`/errands/${encodeURIComponent(errand)}`, result, call);
  }

  /** A long poll: type null after longPollMs. */
  askTask(slot: SlotIdentity, call: CallOptions = {}): Promise<TaskAnswer> {
    const headers = slotHeaders(slot);
    return this.#http.json({ ...longPoll, ...call, method: "PUT", path: "/task", headers, json: {} });
  }

  report(
    job: string,
    type: "mapper" | "reducer" | "sampler",
    task: number,
    report: TaskReport,
    slot: SlotIdentity,
    call: CallOptions = {},
  ): Promise<TaskReportAnswer> {
    const path = `${jobPath(job)}/task/${type}/${task}/status`;
    return this.#http.json({ ...call, method: "POST", path, headers: slotHeaders(slot), json: report });
  }

  preparation(job: string, agent: string, call: CallOptions = {}): Promise<Preparation> {
    return this.#get(`${jobPath(job)}/preparation`, call, { agent });
  }

  outputs(job: string, after: number, call: CallOptions = {}): Promise<MapOutputs> {
    return this.#get(`${jobPath(job)}/outputs`, call, { after });
  }

  /** User code emitted when its task was over; false: that counts no more. */
  async stray(job: string, stray: Stray, call: CallOptions = {}): Promise<boolean> {
    return (await this.#post<{ accepted: boolean }>(`${jobPath(job)}/stray`, stray, call)).accepted;
  }

  async sendLogs(job: string, agent: string, lines: LogLines, call: CallOptions = {}): Promise<void> {
    const path = `${jobPath(job)}/logs`;
    await this.#http.json({ ...call, method: "POST", path, query: { agent }, json: lines });
  }

  blob(hash: string, call: CallOptions = {}): Promise<Download> {
    return this.#download(`/blobs/${hash}`, 0, call);
  }

  /** A result file of an attempt ("map-00017.2"); the coordinator checks length and CRC-32C. */
  async putResult(
    job: string,
    attempt: string,
    name: string,
    file: UploadSource & { readonly crc32c: number },
    call: CallOptions = {},
  ): Promise<void> {
    const path = `${jobPath(job)}/results/${encodeURIComponent(attempt)}/${encodeURIComponent(name)}`;
    const query = { crc32c: crcText(file.crc32c), bytes: file.bytes };
    const timeoutMs = call.timeoutMs ?? 60_000;
    await this.#http.status({ ...call, timeoutMs, method: "PUT", path, query, upload: file });
  }

  #get<T>(path: string, call: CallOptions, query: Query = {}): Promise<T> {
    return this.#http.json({ ...call, method: "GET", path, query });
  }

  #post<T>(path: string, json: unknown, call: CallOptions): Promise<T> {
    return this.#http.json({ ...call, method: "POST", path, json });
  }

  async #download(path: string, from: number, call: CallOptions, query: Query = {}): Promise<Download> {
    const headers = from > 0 ? { range: `bytes=${from}-` } : {};
    const answer = await this.#http.stream({ ...call, method: "GET", path, headers, query });
    const length = Number(answer.headers["content-length"] ?? Number.NaN);
    return {
      body: answer.body,
      from: answer.status === 206 ? from : 0,
      bytes: Number.isFinite(length) ? length : null,
      bodyError: (error) => this.#http.bodyError(error, { path }),
    };
  }
}

type Query = Readonly<Record<string, string | number | undefined>>;

/** The server holds such a question open: an answer may take that long and some more. */
const longPoll = { timeoutMs: longPollMs + 15_000 } as const;

function jobPath(job: string): string {
  return `/jobs/${encodeURIComponent(job)}`;
}

function slotHeaders(slot: SlotIdentity): Record<string, string> {
  return {
    [HEADERS.agent]: slot.agent,
    [HEADERS.incarnation]: String(slot.incarnation),
    [HEADERS.slot]: String(slot.slot),
    [HEADERS.ask]: String(slot.ask),
    ...(slot.workerPid === null ? {} : { [HEADERS.workerPid]: String(slot.workerPid) }),
  };
}
