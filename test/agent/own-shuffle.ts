import type { ShuffleJob } from "#src/exchange/shuffle-job.js";
import type { ShuffleNode } from "#src/exchange/shuffle-node.js";
import type { MapOutput } from "#src/task/task-spec.js";

/** A shuffle of one machine: reduces read what its own maps wrote, in place. */
export class OwnShuffle implements ShuffleNode {
  readonly address = "http://127.0.0.1:9";
  readonly known = new Map<string, ShuffleJob>();
  readonly served = new Map<string, Map<string, MapOutput>>();
  readonly grew: string[] = [];
  /** Set to answer reduces otherwise. */
  answer: ShuffleNode["inputs"] | null = null;
  closed = false;

  prepared(job: ShuffleJob): void {
    this.known.set(job.job, job);
  }

  add(job: string, output: MapOutput): void {
    const outputs = this.served.get(job) ?? new Map<string, MapOutput>();
    this.served.set(job, outputs.set(`${output.task}.${output.attempt}`, output));
  }

  drop(job: string, task: number, attempt: number): void {
    this.served.get(job)?.delete(`${task}.${attempt}`);
  }

  outputsGrew(job: string, version: number): void {
    this.grew.push(`${job} ${version}`);
  }

  inputs: ShuffleNode["inputs"] = async (question) => {
    if (this.answer !== null) return this.answer(question);
    const inputs = [...(this.served.get(question.job)?.values() ?? [])];
    return { kind: "inputs", inputs: inputs.toSorted((a, b) => a.task - b.task) };
  };

  damaged(): boolean {
    return false;
  }

  reduceEnded(): void {}

  async forget(job: string): Promise<void> {
    this.known.delete(job);
    this.served.delete(job);
  }

  jobs(): readonly string[] {
    return [...this.served].filter(([, outputs]) => outputs.size > 0).map(([job]) => job);
  }

  async close(): Promise<void> {
    this.closed = true;
    this.served.clear();
  }
}
