import fc from "fast-check";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { test } from "node:test";
import { liveRegion } from "#src/cli/ui/reporter.js";
import { ansiStyle, ownSequence, printed } from "#src/cli/ui/style.js";
import { dataWriter, writeTo } from "#src/cli/world.js";
import type { TextStream } from "#src/cli/world.js";
import { sheafHere, sheafBinary, tempDir } from "./support.js";

/** Sets a title, clears the screen, the same with C1 characters, and turns letters around. */
const hostile = "<\x1b]0;title\x07\x1b[2J\x9b2J\u202egnp.exe\u2066\u200f\x1b[31m>";
const shown = String.raw`<\u001b]0;title\u0007\u001b[2J\u009b2J\u202egnp.exe\u2066\u200f\u001b[31m>`;
const isHostile =
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  /[\u0000-\u0008\u000b\u000c\u000e-\u001a\u001c-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\u001b(?!\[(?:1|22|2|31|39|32|33|36)m)/u;

function stream(isTTY: boolean): TextStream & { readonly bytes: () => Buffer } {
  const chunks: Buffer[] = [];
  const into = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  return Object.assign(into, { isTTY, columns: 40, bytes: () => Buffer.concat(chunks) });
}

test("what is printed has the sequences of our own style, and nobody else's", async () => {
  const out = stream(true);
  await writeTo(out, `${ansiStyle.bold(`a${ansiStyle.red(hostile)}`)}\tb\n`);
  assert.equal(String(out.bytes()), `\x1b[1ma\x1b[31m${shown}\x1b[39m\x1b[22m\tb\n`);
  assert.equal(printed(ownSequence("?25l")), "\x1b[?25l");
  // Languages and emoji are written with the joiners.
  assert.equal(printed("می\u200cخواهم 👩\u200d💻"), "می\u200cخواهم 👩\u200d💻");
  const piece = fc.constantFrom(...hostile, "\x1b", "[", "0", "1", ";", "m", "é", "\r", "\u2029", "\u061c");
  fc.assert(
    fc.property(fc.string({ unit: piece }), (text) => {
      assert.doesNotMatch(printed(ansiStyle.yellow(text)), isHostile);
      assert.doesNotMatch(printed(text), /\x1b/); // oxlint-disable-line no-control-regex -- what is tested
      assert.equal(printed(printed(text)), printed(text));
      if (!/[\t\n"\\]/.test(text)) assert.equal(JSON.parse(`"${printed(text)}"`), text);
    }),
  );
});

test("JSON for programs means the same, with everything escaped", async () => {
  const out = stream(true);
  await writeTo(out, `${JSON.stringify({ [hostile]: hostile })}\n`);
  assert.doesNotMatch(String(out.bytes()), isHostile);
  assert.deepEqual(JSON.parse(String(out.bytes())), { [hostile]: hostile });
});

test("data goes to a pipe byte for byte, and to a terminal as text that does nothing", async () => {
  const bytes = Buffer.concat([Buffer.from(`é${hostile}\r\n`), Buffer.from([0xff, 0x00])]);
  const pipe = stream(false);
  const terminal = stream(true);
  const [toPipe, toTerminal] = [dataWriter(pipe), dataWriter(terminal)];
  // One byte at a time: characters come in parts.
  for (const byte of bytes) {
    await toPipe(Uint8Array.of(byte));
    await toTerminal(Uint8Array.of(byte));
  }
  assert.deepEqual(pipe.bytes(), bytes);
  assert.equal(String(terminal.bytes()), `é${shown}\\r\n\ufffd\\u0000`);
});

test("a live line is cut by what is seen of it", () => {
  const out = stream(true);
  const region = liveRegion(out);
  region.draw([`${ansiStyle.dim(hostile)} and more`]);
  assert.equal(String(out.bytes()), `\x1b[?25l\x1b[2m${shown.slice(0, 38)}…\x1b[22m\n`);
});

/** Runs commands on a terminal, and gives all that it was sent. */
function onTerminal(command: string, cwd: string): string {
  const run = spawnSync("script", ["-qec", command, "/dev/null"], {
    cwd,
    encoding: "utf8",
    env: {
      ...process.env,
      NODE_TEST_CONTEXT: undefined,
      SHEAF_STATE: join(cwd, "state"),
      TERM: "xterm",
      NO_COLOR: undefined,
      FORCE_COLOR: undefined,
    },
  });
  assert.equal(run.error, undefined);
  return run.stdout;
}

test("errors, records, keys, file names, job names, params, log lines and results reach no terminal", (t) => {
  const place = tempDir(t);
  const name = (text: string): string => text.replaceAll("/", "");
  mkdirSync(join(place, "in"));
  writeFileSync(join(place, "in", name(`${hostile}.txt`)), `${hostile} record\nsecond\n`);
  writeFileSync(join(place, "in", name(`empty ${hostile}.txt`)), "");
  const evil = JSON.stringify(hostile);
  const source = (body: string): string => `import { job, text, count } from "sheaf";
    const evil = ${evil};
    export default job({ name: "shown", input: text(), map(line, emit, ctx) {
      console.log("log " + evil); console.error(evil); ctx.count(evil); ${body} }, reduce: count() });`;
  writeFileSync(join(place, "good.ts"), source("for (let i = 0; i < 2000; i++) emit(evil + line.length);"));
  writeFileSync(
    join(place, "bad.ts"),
    source(
      `const error = new Error("message " + evil); error.name = evil; error.stack = "Error\\n    at " + evil;
       throw error;`,
    ),
  );
  writeFileSync(join(place, "throws.ts"), `throw new Error(${evil});\nexport default 1;`);
  const sheafCommand = `'${process.execPath}' '${sheafBinary}'`;
  const odd = `$'${hostile.replace(/[^ -~]/gu, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)}'`;
  const places: readonly (readonly [string, string])[] = [
    ["run", "run good.ts in -o out"],
    ["show", "show @"],
    ["logs", "logs @"],
    ["print", "run good.ts in --print 3 --inline"],
    ["results to a terminal", "run good.ts in -o -"],
    ["failure", "run bad.ts in -o bad"],
    ["failure as JSON", "run bad.ts in -o bad --json"],
    ["failed task", "show @:map-0"],
    ["replay", "replay @"],
    ["load", "run throws.ts in -o bad"],
    ["file name", `run good.ts ${odd} -o bad`],
    ["command", odd],
    ["params", `run good.ts in -o bad --set ${odd}=${odd}`],
  ];
  const marks = places.map(([title, words]) => `echo "== ${title}"; ${sheafCommand} ${words}`);
  marks.splice(1, 0, `${sheafCommand} logs @ > logs.txt`);
  writeFileSync(join(place, "all.sh"), marks.join("\n"));
  const sections = onTerminal("bash all.sh", place).split(/^== /m).slice(1);
  assert.equal(sections.length, places.length);
  let seen = 0;
  for (const section of sections) {
    // The terminal's own line ends, and the live lines.
    // oxlint-disable-next-line no-control-regex -- control sequences are what is looked for
    const text = section.replaceAll("\r\n", "\n").replace(/\x1b\[(?:G|J|\d+A|\?25[lh])/g, "");
    assert.doesNotMatch(text, isHostile, JSON.stringify(section));
    if (/\\u001b\]0;title\\u0007\\u001b\[2J/.test(text)) seen++;
    else t.diagnostic(`nothing of it in: ${section.slice(0, 300)}`);
  }
  assert.ok(seen === places.length, `it was shown in ${seen} places`);

  // To a file, what was logged comes as it was.
  assert.ok(readFileSync(join(place, "logs.txt"), "utf8").includes(`] log ${hostile}\n`));
});

test("a message of megabytes takes no more than a few screens", async (t) => {
  const place = tempDir(t);
  writeFileSync(join(place, "in.txt"), "a");
  writeFileSync(
    join(place, "big.ts"),
    `import { job, text, count } from "sheaf";
     export default job({ input: text(), map() { throw new Error("x".repeat(1e7)); }, reduce: count() });`,
  );
  const { code, stderr } = await sheafHere(["run", "big.ts", "in.txt", "-o", "out"], { cwd: place });
  assert.equal(code, 1);
  assert.ok(stderr.length < 5_000, `${stderr.length} characters`);
  assert.match(stderr, /retry +map-00000 attempt 1 failed.*\n/);
});
