import { SheafError } from "../base/errors.ts";
import type { EstimateColumn, EstimatedColumn } from "../job/estimate.ts";
import type { JobOutline } from "../worker/messages.ts";

/** All values of the results, by collection. */
export function estimatedColumns(outline: Outline | undefined): EstimatedColumn[] {
  return (outline?.collections ?? []).flatMap(({ name, estimates }) =>
    (estimates?.columns ?? []).map((column) => ({ collection: name, ...column })),
  );
}

type Outline = {
  readonly collections: readonly Pick<JobOutline["collections"][number], "name" | "estimates">[];
};

/**
 * Whether the job's results can be estimated, as `estimate` asks.
 * @throws SheafError USAGE when nothing of them can be, or a writer cannot write what is
 */
export function checkEstimates(
  outline: Outline,
  { estimate, output }: { readonly estimate: boolean; readonly output: string | null },
): void {
  if (!estimate) return;
  const scaled = outline.collections.filter(({ estimates }) => estimates?.columns.some(isScaled));
  if (scaled.length === 0) {
    const [first] = estimatedColumns(outline);
    throw new SheafError(
      "USAGE",
      `estimate: no result of this job can be scaled: ${first?.note ?? "it has none"}`,
      {
        hint:
          "Estimates are made of count(), sum(), sumBig() and mean(), alone or in stats(), where map is a " +
          "function. Run without it: the results are then those of the sample.",
      },
    );
  }
  for (const { name, estimates } of output === null ? [] : scaled) {
    if (estimates!.cannotWrite === null) continue;
    const whose = name === "" ? "the job" : `collection ${name}`;
    throw new SheafError(
      "USAGE",
      `estimate: ${whose} writes ${estimates!.cannotWrite}, which cannot name the columns of intervals`,
      { hint: "Give it output: tsv(), csv() or jsonl(), or run without estimates." },
    );
  }
}

/** True for what is an estimate with an interval. */
export function isScaled({ note }: EstimateColumn): boolean {
  return note === null;
}

/** The fewest pairs of which a sample of this share has one, 95 times of 100. */
export function seenFrom(share: number): number {
  return Math.ceil(Math.log(0.05) / Math.log1p(-share));
}
