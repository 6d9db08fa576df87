import type { SimReport } from "./simulate.js";

/** Sums over many seeds. */
export class Totals {
  seeds = 0;
  nodes = 0;
  jobs = 0;
  tasks = 0;
  attempts = 0;
  steps = 0;
  stepMs = 0;
  commands = 0;
  simulatedMs = 0;
  readonly faults = new Map<string, number>();
  readonly outcomes = new Map<string, number>();

  add(report: SimReport): void {
    this.seeds++;
    this.nodes += report.nodes;
    this.jobs += report.jobs;
    this.tasks += report.tasks;
    this.attempts += report.attempts;
    this.steps += report.steps;
    this.stepMs += report.stepMs;
    this.commands += report.commands;
    this.simulatedMs += report.simulatedMs;
    addAll(this.faults, report.faults);
    addAll(this.outcomes, report.outcomes);
  }

  lines(): string[] {
    const number = (n: number): string => Math.round(n).toLocaleString("en-US");
    const list = (counts: ReadonlyMap<string, number>): string =>
      [...counts]
        .sort((a, b) => b[1] - a[1])
        .map(([name, count]) => `${number(count)} ${name}`)
        .join(", ");
    let faults = 0;
    for (const count of this.faults.values()) faults += count;
    return [
      `seeds      ${number(this.seeds)}`,
      `nodes      ${number(this.nodes)}`,
      `jobs       ${number(this.jobs)} (${list(this.outcomes)})`,
      `tasks      ${number(this.tasks)}`,
      `attempts   ${number(this.attempts)}`,
      `faults     ${number(faults)} (${list(this.faults)})`,
      `decisions  ${number(this.steps)} events, ${number(this.commands)} commands`,
      `cost       ${((1_000 * this.stepMs) / Math.max(1, this.steps)).toFixed(2)} us per event`,
      `time       ${number(this.simulatedMs / 3_600_000)} h simulated`,
    ];
  }
}

function addAll(into: Map<string, number>, from: ReadonlyMap<string, number>): void {
  for (const [name, count] of from) into.set(name, (into.get(name) ?? 0) + count);
}
