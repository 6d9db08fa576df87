import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import type { RunEvent } from "#src/engine/events.js";
import type { ClusterRunOptions } from "#src/engine/options.js";
import { FakeCoordinator } from "./fake-coordinator.js";

export const wordcount = `
  import { job, text, tsv, sum } from "sheaf";
  export default job({
    input: text(),
    params: { least: 0 },
    collections: {
      words: { reduce: sum(), output: tsv(), partitions: 3 },
      none: { reduce: sum(), output: tsv(), partitions: 1 },
    },
    map(line, emit, ctx) {
      ctx.count("lines");
      for (const word of line.split(" ")) if (word.length > ctx.params.least) emit.words(word, 1);
    },
  });`;

export const input = Array.from({ length: 500 }, (_, i) => `a b${i % 7} c${i % 91} dd`).join("\n");

/** A directory of one test's own, and a coordinator. */
export class Place {
  readonly root: string;
  readonly fake: FakeCoordinator;
  readonly events: RunEvent[] = [];

  constructor(t: TestContext, fake: FakeCoordinator) {
    this.root = mkdtempSync(join(tmpdir(), "sheaf-cluster-run-test-"));
    this.fake = fake;
    t.after(() => rmSync(this.root, { recursive: true, force: true }));
  }

  static async make(t: TestContext): Promise<Place> {
    return new Place(t, await FakeCoordinator.start(t));
  }

  file(name: string, text: string): string {
    const path = join(this.root, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  options(more: Partial<ClusterRunOptions> = {}): ClusterRunOptions {
    return {
      on: this.fake.url,
      stateDirectory: join(this.root, "state"),
      attempts: 2,
      onEvent: (event) => this.events.push(event),
      ...more,
    };
  }

  kinds(): string[] {
    return this.events.map((event) => ("phase" in event ? `${event.kind} ${event.phase}` : event.kind));
  }

  warnings(): string[] {
    return this.events.flatMap((event) => (event.kind === "warning" ? [event.message] : []));
  }
}

/** Relative path to content of every file below. */
export function tree(directory: string): Record<string, string> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((one) =>
    one.isFile(),
  );
  return Object.fromEntries(
    files
      .map((one) => {
        const path = join(one.parentPath, one.name);
        return [path.slice(directory.length), readFileSync(path, "latin1")] as const;
      })
      .sort(),
  );
}
