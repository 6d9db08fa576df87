import type { CommittedPart } from "../engine/events.ts";

/** What decides over the results of a step, part by part, so that a change can be told by its name. */
export interface StepFacts {
  /** Hash of its code. */
  readonly code: string;
  readonly params: string;
  /** Options of the run that have a say in the results. */
  readonly options: string;
  /** Of each file it reads, side data too, what tells a change: size, times, inode. */
  readonly files: Readonly<Record<string, string>>;
  /** What cannot be compared: places on agents. */
  readonly elsewhere: readonly string[];
  /** Of each step it needs, what it wrote (see StepDone.made). */
  readonly needs: Readonly<Record<string, string>>;
}

/** How results lie in the directory of one run of a step: as other steps read them, and as the job says. */
export interface Forms {
  readonly records: boolean;
  readonly files: boolean;
}

/** What a step has written, as history and result tell it. */
export interface StepSummary {
  readonly recordsIn: number;
  readonly recordsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly badRecords: number;
  readonly cpuMs: number;
  readonly elapsedMs: number | null;
  readonly counters: Readonly<Record<string, number>>;
  /** Files in the format of the job; none where only records were written. */
  readonly parts: readonly CommittedPart[];
}

export interface StepDone {
  readonly run: number;
  readonly facts: StepFacts;
  readonly forms: Forms;
  /** Names what was written: the same for steps whose results are sure to be the same. */
  readonly made: string;
  readonly summary: StepSummary;
}

/** What a pipeline is run with, from its first run on. */
export interface PipelineBegun {
  readonly kind: "begun";
  readonly version: 1;
  readonly id: string;
  readonly name: string;
  /** Absolute path of its file. */
  readonly file: string;
  /** Absolute directory of the results; null: they are given out otherwise. */
  readonly output: string | null;
  /** Directory of what lies between steps. */
  readonly work: string;
  /** Options of the run, as keptOptions makes them. */
  readonly options: Readonly<Record<string, unknown>> & { readonly inputs: readonly string[] };
}

/** A step whose files are part of the output. */
export interface CommittedSteps {
  readonly step: string;
  /** They stay where they were, too. */
  readonly stays: boolean;
}

/** How far the output is. */
export type CommitState =
  | { readonly kind: "none" }
  | { readonly kind: "begun" | "done"; readonly output: string; readonly steps: readonly CommittedSteps[] };

export type JournalEntry =
  | PipelineBegun
  /** The step begins: what it writes will be in the directory of that run, or nowhere. */
  | {
      readonly kind: "step-begun";
      readonly step: string;
      readonly run: number;
      readonly facts: StepFacts;
      readonly forms: Forms;
      readonly made: string;
    }
  /** A cluster runs it as the job of that id, also when this process dies. */
  | { readonly kind: "step-submitted"; readonly step: string; readonly jobId: string }
  | { readonly kind: "step-done"; readonly step: string; readonly run: number; readonly summary: StepSummary }
  | { readonly kind: "step-failed"; readonly step: string; readonly run: number; readonly message: string }
  /** Before what the step has written is removed: all who read it are done. */
  | { readonly kind: "step-removed"; readonly step: string }
  /** Before the files of these steps move to the output directory. From here on the commit is carried out. */
  | { readonly kind: "committing"; readonly output: string; readonly steps: readonly CommittedSteps[] }
  /** With the digest of the _SUCCESS that is there now. */
  | { readonly kind: "committed"; readonly digest: string }
  | { readonly kind: "ended"; readonly status: "SUCCEEDED" | "FAILED" | "CANCELLED" };

/** What is known of one step. */
export interface StepState {
  /** The number of its last run, 0 when it has had none. */
  readonly runs: number;
  /** Its last run that was done. */
  readonly done: StepDone | null;
  /** A run that has begun and of whose end nothing is known. */
  readonly begun: (Omit<StepDone, "summary"> & { readonly jobId?: string }) | null;
  /** Its last run that was not done, and may have left something. */
  readonly lost: { readonly run: number; readonly made: string } | null;
  /** What it wrote is removed. */
  readonly removed: boolean;
}

export interface PipelineState {
  readonly begun: PipelineBegun | null;
  readonly steps: Readonly<Record<string, StepState>>;
  /** Of what the steps have written last. */
  readonly commit: CommitState;
  /** Where its output was committed last, whatever ran since, and the digest of its _SUCCESS. */
  readonly committedTo: { readonly output: string; readonly digest: string } | null;
  readonly ended: "SUCCEEDED" | "FAILED" | "CANCELLED" | null;
}

export const emptyState: PipelineState = {
  begun: null,
  steps: {},
  commit: { kind: "none" },
  committedTo: null,
  ended: null,
};
export const noRun: StepState = { runs: 0, done: null, begun: null, lost: null, removed: false };

/** What is known after one more entry. Pure. */
export function applyEntry(state: PipelineState, entry: JournalEntry): PipelineState {
  const change = (step: string, changes: Partial<StepState>): PipelineState => ({
    ...state,
    ended: null,
    steps: { ...state.steps, [step]: { ...(state.steps[step] ?? noRun), ...changes } },
  });
  switch (entry.kind) {
    case "begun":
      return { ...state, begun: entry };
    case "step-begun": {
      const { step, run, facts, forms, made } = entry;
      return {
        ...change(step, { runs: run, begun: { run, facts, forms, made }, lost: null }),
        commit: { kind: "none" },
      };
    }
    case "step-submitted": {
      const { step, jobId } = entry;
      const begun = state.steps[step]?.begun ?? null;
      return begun === null ? state : change(step, { begun: { ...begun, jobId } });
    }
    case "step-done": {
      const { step, run, summary } = entry;
      const begun = state.steps[step]?.begun;
      if (begun?.run !== run) return state;
      const { jobId: _, ...own } = begun;
      return change(step, { done: { ...own, summary }, begun: null, removed: false });
    }
    case "step-failed": {
      const { begun } = state.steps[entry.step] ?? noRun;
      return change(entry.step, {
        begun: null,
        lost: begun === null ? null : { run: begun.run, made: begun.made },
      });
    }
    case "step-removed":
      return change(entry.step, { removed: true });
    case "committing":
      return { ...state, commit: { kind: "begun", output: entry.output, steps: entry.steps } };
    case "committed": {
      const { commit } = state;
      if (commit.kind === "none") return state;
      const committedTo = { output: commit.output, digest: entry.digest };
      return { ...state, commit: { ...commit, kind: "done" }, committedTo };
    }
    case "ended":
      return { ...state, ended: entry.status };
  }
}

/** All entries of a journal. */
export function pipelineStateOf(entries: readonly JournalEntry[]): PipelineState {
  return entries.reduce(applyEntry, emptyState);
}
