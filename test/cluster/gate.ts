import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Where attempts of a job say that they have come by, and wait as long as they are held: so that a test can
 * do something while just that is running. Points: "map-00003" and "reduce-00001" (the start of a task; with
 * data), "reduce-00001.half" (after 20 keys), "map-00003.2" and "reduce-00001.2.half" (of one attempt),
 * "commit" (in `expect`).
 */
export class Gate {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  /** Whoever comes to the points waits there until they are opened. */
  hold(...points: readonly string[]): void {
    for (const point of points) writeFileSync(join(this.directory, `${point}.hold`), "");
  }

  open(...points: readonly string[]): void {
    for (const point of points) rmSync(join(this.directory, `${point}.hold`), { force: true });
  }

  openAll(): void {
    this.open(...this.held());
  }

  held(): string[] {
    return this.#names(".hold");
  }

  /** Points that some attempt has come to: "map-00003.1", "reduce-00000.2.half", "commit". */
  passed(): string[] {
    return this.#names(".at");
  }

  /** Process id of the worker that came there (last). */
  pidAt(point: string): number {
    return Number(readFileSync(join(this.directory, `${point}.at`), "utf8"));
  }

  /** Whether somebody has come there, and has said who. */
  isReached(point: string): boolean {
    const path = join(this.directory, `${point}.at`);
    return existsSync(path) && readFileSync(path, "utf8") !== "";
  }

  /** As new. */
  clear(): void {
    rmSync(this.directory, { recursive: true, force: true });
    mkdirSync(this.directory, { recursive: true });
  }

  #names(ending: string): string[] {
    return readdirSync(this.directory)
      .filter((name) => name.endsWith(ending))
      .map((name) => name.slice(0, -ending.length))
      .sort();
  }
}

/** A word count that comes by all points of the gate. */
export function gatedWordCount(gate: Gate): string {
  return `
    import { existsSync, writeFileSync } from "node:fs";
    import { job, text } from "sheaf";
    const cell = new Int32Array(new SharedArrayBuffer(4));
    const place = ${JSON.stringify(gate.directory)} + "/";
    function pass(task: string, attempt: string, more: string, progress = () => {}): void {
      writeFileSync(place + task + attempt + more + ".at", String(process.pid));
      const holds = [task + more, task + attempt + more].map((point) => place + point + ".hold");
      while (holds.some((path) => existsSync(path))) {
        Atomics.wait(cell, 0, 0, 5);
        progress();
      }
    }
    let reducing = "";
    let keys = 0;
    export default job({
      input: text(),
      setup(ctx) {
        pass(ctx.task, "." + ctx.attempt, "", () => ctx.progress());
      },
      map(line, emit, ctx) {
        ctx.count("lines");
        for (const word of line.match(/\\p{L}+/gu) ?? []) emit(word, 1);
      },
      reduce(key: string, values: Iterable<number>, ctx) {
        const attempt = "." + ctx.attempt;
        if (reducing !== ctx.task + attempt) {
          reducing = ctx.task + attempt;
          keys = 0;
          pass(ctx.task, attempt, "", () => ctx.progress());
        }
        if (++keys === 20) pass(ctx.task, attempt, ".half", () => ctx.progress());
        let sum = 0;
        for (const value of values) sum += value;
        ctx.count("words");
        return sum;
      },
      expect() {
        pass("commit", "", "");
        return true;
      },
    });
  `;
}
