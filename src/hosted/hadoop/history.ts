import type { Clock } from "../../base/clock.ts";

/** How long is waited for an answer, ms; and for a job that has just ended to be in the history. */
const ANSWER_MS = 5_000;
const APPEAR_MS = 12_000;
const AGAIN_MS = 500;
/** The history server's answer, with status 200, until the node has handed over the logs. */
const NO_LOGS = /^Can ?not find logs for container/i;
/** Of what a container has written, characters. */
const LOG_CHARS = 16_000;

/** An attempt as Hadoop's history server tells of it. */
interface HistoryAttempt {
  readonly id: string;
  readonly state: string;
  readonly diagnostics?: string;
  readonly nodeHttpAddress?: string;
  readonly assignedContainerId?: string;
}

interface HistoryTask {
  readonly id: string;
  readonly state: string;
}

export interface HistoryTold {
  /** As Hadoop names them. */
  readonly task: string;
  readonly attempt: string;
  readonly text: string;
}

/**
 * Why a job has failed, by what the history server and the NodeManagers know: the diagnostics of the last
 * attempt that failed, and the end of what it has written to its standard error. The client prints nothing of
 * the attempt that has failed the job.
 * @param address mapreduce.jobhistory.webapp.address, "host:port"
 * @param task as Hadoop names it, where that is known
 * @returns null when nothing can be learned, as where these servers ask for Kerberos
 */
export async function causeInHistory(
  address: string,
  job: string,
  task: string | null,
  clock: Clock,
): Promise<HistoryTold | null> {
  const base = `http://${address}/ws/v1/history/mapreduce/jobs/${job}`;
  const until = clock.nowMs() + APPEAR_MS;
  for (let told: HistoryTold | null = null; ;) {
    const found = await lookIn(base, task).catch(() => "silent" as const);
    if (found === "silent") return told;
    told = found?.told ?? told;
    if (found?.isWhole === true || clock.nowMs() > until) return told;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

/**
 * null: it does not know yet. Not whole: nobody has the log now, as while it is on its way from the node to
 * where logs are gathered. @throws Error when nobody answers, or in other words
 */
async function lookIn(
  base: string,
  wanted: string | null,
): Promise<{ readonly told: HistoryTold; readonly isWhole: boolean } | null> {
  const task = wanted ?? (await failedTask(base));
  if (task === null) return null;
  const answer = await getJson<{ taskAttempts?: { taskAttempt?: readonly HistoryAttempt[] } }>(
    `${base}/tasks/${task}/attempts`,
  );
  // They come in no order.
  const numbered = (answer?.taskAttempts?.taskAttempt ?? []).map((one) => ({
    ...one,
    number: numberOf(one),
  }));
  const failed = numbered.filter(({ state }) => state === "FAILED").sort((a, b) => a.number - b.number);
  const attempt = failed.at(-1);
  if (attempt === undefined) return null;
  const log = await containerLog(base, attempt);
  const text = [attempt.diagnostics ?? "", log ?? ""].join("\n").trim();
  return { told: { task, attempt: attempt.id, text }, isWhole: log !== null };
}

/** 2 of "attempt_1_0001_m_000003_2" */
function numberOf({ id }: HistoryAttempt): number {
  return Number(id.slice(id.lastIndexOf("_") + 1));
}

async function failedTask(base: string): Promise<string | null> {
  const answer = await getJson<{ tasks?: { task?: readonly HistoryTask[] } }>(`${base}/tasks`);
  return (answer?.tasks?.task ?? []).find(({ state }) => state === "FAILED")?.id ?? null;
}

/** From the NodeManager while it keeps the logs, else from where they were gathered. null: from nobody. */
async function containerLog(base: string, attempt: HistoryAttempt): Promise<string | null> {
  const { nodeHttpAddress: node, assignedContainerId: container } = attempt;
  if (container === undefined) return "";
  const file = `containerlogs/${container}/stderr`;
  const history = base.slice(0, base.indexOf("/mapreduce/"));
  const places = [...(node === undefined ? [] : [`http://${node}/ws/v1/node/${file}`]), `${history}/${file}`];
  for (const place of places) {
    const text = await get(place, "text/plain").catch(() => null);
    if (text !== null && !NO_LOGS.test(text)) return writtenIn(text).slice(-LOG_CHARS);
  }
  return null;
}

/** Newer NodeManagers put headings around what the container has written. */
function writtenIn(text: string): string {
  return /^LogContents:\n([\s\S]*?)\n?^End of LogType:/m.exec(text)?.[1] ?? text;
}

async function getJson<T>(url: string): Promise<T | null> {
  const text = await get(url, "application/json");
  return text === null ? null : (JSON.parse(text) as T);
}

/** null: there is no such thing. @throws Error when nobody answers, or asks who asks */
async function get(url: string, accept: string): Promise<string | null> {
  const answer = await fetch(url, { headers: { accept }, signal: AbortSignal.timeout(ANSWER_MS) });
  if (answer.status === 401 || answer.status === 403) throw new Error(`${url}: ${answer.status}`);
  return answer.ok ? await answer.text() : null;
}
