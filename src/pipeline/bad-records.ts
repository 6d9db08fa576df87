import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exists, linkTree } from "./step-output.ts";

/*
 * Records that steps have set aside, of all of them: also of those whose output is removed when it has been
 * read. <work>/_bad/<step> has those of a step's last run, until they are put into the output.
 */

export function badOf(work: string, step: string): string {
  return join(work, "_bad", step);
}

/** After each run of a step. @param directory of that run */
export async function keepBad(work: string, step: string, directory: string): Promise<void> {
  const place = badOf(work, step);
  await rm(place, { recursive: true, force: true });
  const rounds = await roundsWithBad(directory);
  if (rounds.length > 0) {
    for (const round of rounds)
      await linkTree(
        join(badOfRounds(directory), round, "records"),
        join(place, `round-${round.padStart(5, "0")}`),
      );
    return;
  }
  for (const form of ["files", "records"]) {
    const own = join(directory, form, "_bad");
    if (!(await exists(own))) continue;
    await linkTree(own, place);
    return;
  }
}

function badOfRounds(directory: string): string {
  return join(directory, "bad");
}

async function roundsWithBad(directory: string): Promise<string[]> {
  return readdir(badOfRounds(directory)).catch(() => []);
}

/**
 * Keeps what a round of a loop has set aside: its directory does not last. May be done again.
 * @param from the directory of the round's results
 */
export async function keepBadOfRound(
  directory: string,
  round: number,
  { from, badRecords }: { readonly from: string; readonly badRecords: number },
): Promise<void> {
  if (badRecords === 0) return;
  const place = join(badOfRounds(directory), String(round));
  await linkTree(join(from, "_bad"), join(place, "records"));
  await writeFile(join(place, "count"), String(badRecords));
}

/** How many all rounds have set aside. */
export async function countBadOfRounds(directory: string): Promise<number> {
  const counts = (await roundsWithBad(directory)).map((round) =>
    readFile(join(badOfRounds(directory), round, "count"), "utf8"),
  );
  return (await Promise.all(counts)).reduce((sum, count) => sum + Number(count), 0);
}
