import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { seededRandom } from "#src/base/random.js";
import { pageRank } from "../../examples/pagerank.ts";
import { worstOfTheBest } from "../../examples/two-step-query.ts";
import { type Spin, volumeTest } from "../../examples/volume-test.ts";
import { packageRoot, tempDir } from "../cli/support.ts";
import { runExample } from "./support.ts";

test("slot-machine.ts plays every spin once and its wins are what the reels pay", async (t) => {
  const run = await runExample(t, "slot-machine.ts", {}, ["--set", "spins=20001"]);
  const [line = ""] = run.lines();
  const { value } = JSON.parse(line) as {
    value: {
      plays: number;
      stake: number;
      win: { base: { total: number; largest: number }; free: { total: number; spins: number } };
    };
  };
  assert.equal(value.plays, 20_001);
  assert.equal(value.stake, 20_001);
  // Chances of three alike: cherry 64, bell 27, seven 8, star 1 in 1000; a star plays ten free spins.
  const paid = 0.064 * 2 + 0.027 * 8 + 0.008 * 30 + 0.001 * 50;
  assert.ok(Math.abs(value.win.base.total / 20_001 - paid) < 0.1, JSON.stringify(value));
  assert.equal(value.win.base.largest, 50);
  assert.equal(value.win.free.spins % 10, 0);
  assert.ok(value.win.free.spins > 50 && value.win.free.spins < 400, JSON.stringify(value));
  const again = await runExample(t, "slot-machine.ts", {}, ["--set", "spins=20001", "--inline"]);
  assert.deepEqual(again.lines(), run.lines());
});

test("pagerank.ts agrees with the same computation on a matrix", async (t) => {
  const random = seededRandom(8);
  const size = 40;
  // The last five pages link nowhere, the first has no links to it.
  const links = Array.from({ length: size }, (_, i) =>
    i >= size - 5
      ? []
      : [...new Set(Array.from({ length: 1 + random.below(6) }, () => 1 + random.below(size - 1)))],
  );
  let expected = Array.from({ length: size }, () => 1);
  for (let round = 0; round < 4; round++) {
    const received = Array.from({ length: size }, () => 0);
    links.forEach((targets, i) => targets.forEach((to) => (received[to]! += expected[i]! / targets.length)));
    const lost = size - received.reduce((a, b) => a + b, 0);
    expected = received.map((share) => 0.15 + 0.85 * (share + lost / size));
  }
  const file = join(tempDir(t), "links.tsv");
  writeFileSync(
    file,
    links.map((targets, i) => `p${i}\t${targets.map((to) => `p${to}`).join(" ")}\n`).join(""),
  );
  const ranks = await pageRank(file, 4);
  assert.equal(Object.keys(ranks).length, size);
  expected.forEach((rank, i) =>
    assert.ok(Math.abs(ranks[`p${i}`]! - rank) < 1e-9, `p${i}: ${ranks[`p${i}`]}, ${rank}`),
  );
});

test("two-step-query.ts finds the worst play of 2013 of the best player of 2016", async (t) => {
  const random = seededRandom(9);
  const plays = Array.from({ length: 2000 }, (_, i) => ({
    player: `p${random.below(20)}`,
    date: `${2012 + random.below(6)}-0${1 + random.below(9)}-1${random.below(10)}`,
    winnings: i * 7 + random.below(7),
  }));
  const rows = plays.map((play) => `${play.player},${play.date},${play.winnings}\n`);
  const file = join(tempDir(t), "winnings.csv");
  writeFileSync(file, `player,date,winnings\n${rows.toSorted().join("")}`);
  const of = (year: string) => plays.filter((play) => play.date.startsWith(year));
  const winner = of("2016").reduce((a, b) => (b.winnings > a.winnings ? b : a)).player;
  const expected = of("2013")
    .filter((play) => play.player === winner)
    .reduce((a, b) => (b.winnings < a.winnings ? b : a));
  assert.deepEqual(await worstOfTheBest(file), expected);
  assert.equal(await worstOfTheBest(file, "1999"), undefined);
});

test("volume-test.ts plays until enough is known, and answers a question of the spins it kept", async (t) => {
  const directory = tempDir(t);
  const said: string[] = [];
  const first = await volumeTest(join(directory, "a"), { workers: 2, say: (text) => void said.push(text) });
  // Four map tasks were wanted, two at a time were given.
  assert.deepEqual([first.wanted, first.used], [4, 2]);
  assert.ok(first.spins >= 10_000);
  assert.ok(said.at(-1)!.startsWith(`${first.spins} spins: {"plays":${first.spins},`), said.at(-1));
  const lines = (name: string, part: string): string[] => {
    const files = readdirSync(join(directory, name, part)).filter((file) => file.startsWith("part-"));
    const texts = files.toSorted().map((file) => readFileSync(join(directory, name, part, file), "utf8"));
    return texts.join("").split("\n").slice(0, -1);
  };
  const [line = ""] = lines("a", "game");
  const { value } = JSON.parse(line) as {
    value: {
      plays: number;
      stake: number;
      rtp: { mean: number; ci95: number };
      win: { base: { total: number } };
    };
  };
  const spins = lines("a", "spins").map((text) => JSON.parse(text) as Spin);
  assert.deepEqual([value.plays, value.stake], [spins.length, spins.length]);
  assert.ok(value.rtp.ci95 < 0.06, `${value.rtp.ci95}`);
  const sum = (of: (spin: Spin) => number): number => spins.reduce((all, spin) => all + of(spin), 0);
  assert.equal(
    value.win.base.total,
    sum(({ win }) => win),
  );
  assert.ok(Math.abs(value.rtp.mean - sum(({ win, freeWin }) => win + freeWin) / spins.length) < 1e-12);
  const winner = spins
    .filter(({ year }) => year === 2016)
    .reduce((a, b) => (b.win + b.freeWin > a.win + a.freeWin ? b : a)).player;
  const expected = spins
    .filter(({ year, player, win }) => year === 2013 && player === winner && win > 0)
    .reduce((a, b) => (b.win < a.win ? b : a));
  assert.deepEqual(first.smallest, expected);
  // Quiet, on other workers, with as many records of each task: the same.
  const again = await volumeTest(join(directory, "b"), { workers: 1, made: first.made });
  assert.deepEqual([again.spins, again.smallest], [first.spins, expected]);
  assert.deepEqual(lines("b", "game"), [line]);
});

test("every example has a header with its command, and a test that names it", () => {
  const directory = join(packageRoot, "test/examples");
  const tests = readdirSync(directory).filter((name) => name.endsWith(".test.ts"));
  const text = tests.map((name) => readFileSync(join(directory, name), "utf8")).join("");
  for (const example of readdirSync(join(packageRoot, "examples")).filter((name) => name.endsWith(".ts"))) {
    assert.ok(text.includes(`"${example}"`) || text.includes(`${example} `), `${example} has no test`);
    const header = readFileSync(join(packageRoot, "examples", example), "utf8");
    assert.match(header, new RegExp(`^(//.*\n)+`), `${example} has no header`);
    assert.match(
      header,
      new RegExp(`^//   (sheaf run|node) ${example.replace(".", "\\.")}`, "m"),
      `${example}: no command`,
    );
  }
});
