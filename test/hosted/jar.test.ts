import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { FileTool } from "#src/hosted/file-tool.js";
import { hostedJar, javaMissing, maven, root } from "../kit/jars.ts";
import { type HadoopLab, localHadoop } from "./hadoop-lab.ts";

/** A map task that writes what it was given into a file named after it; of "bad NAME" into NAME. */
const program = `
const frame = (...parts) => Buffer.concat(parts.flatMap((part) => {
  const length = Buffer.alloc(4);
  length.writeInt32BE(part.length);
  return [length, part];
}));
const input = require("node:fs").readFileSync(0);
const key = input.subarray(4, 8);
const value = input.subarray(12);
const [what, name] = value.toString().split(" ");
const file = Buffer.from(what === "bad" ? name : "files/täsk " + key.readInt32BE() + "/part");
process.stdout.write(Buffer.concat([
  frame(file, value),
  frame(file, Buffer.from([0, 13, 10, 255])),
  frame(Buffer.from("files/empty-" + key.readInt32BE()), Buffer.alloc(0)),
]));
if (what === "twice") process.stdout.write(frame(file, value));
if (what === "fails") {
  process.stderr.write('sheaf-error: {"message":"naïve"}\\n');
  process.exitCode = 3;
}
`;

const skip = javaMissing("HADOOP", "local", "hosted") ?? false;
if (skip !== false) console.error(skip);

suite("the jar for Hadoop and Spark", { skip }, () => {
  let lab: HadoopLab;
  let work: string;
  let jar: string;
  before(() => {
    lab = localHadoop();
    work = mkdtempSync(join(tmpdir(), "sheaf-jar-test-"));
    jar = hostedJar();
    writeFileSync(join(work, "program.cjs"), program);
  });
  after(async () => {
    await lab.close();
    rmSync(work, { recursive: true, force: true });
  });

  test("is the same whenever it is built", () => {
    const again = join(work, "again.jar");
    execFileSync(process.execPath, [join(root, "scripts/build-jar.mjs"), again], { stdio: "pipe" });
    assert.ok(readFileSync(again).equals(readFileSync(jar)));
  });

  function runJob(name: string, splits: string): { status: number | null; stderr: string; output: string } {
    const [directory, output] = [join(work, name), join(work, `${name}-out`)];
    mkdirSync(directory);
    writeFileSync(join(directory, "splits"), splits);
    const streaming = join(lab.home, `share/hadoop/tools/lib/hadoop-streaming-${maven.hadoop}.jar`);
    const properties = [
      "mapreduce.job.reduces=0",
      "mapreduce.fileoutputcommitter.algorithm.version=1",
      `sheaf.splits=file://${directory}/splits`,
      `sheaf.errors=file://${directory}/errors`,
    ].flatMap((property) => ["-D", property]);
    const { status, stderr } = spawnSync(
      join(lab.home, "bin/hadoop"),
      [
        ["jar", streaming, ...properties, "-libjars", jar, "-io", "rawbytes", "-input", "nothing"],
        ["-inputformat", "dev.sheaf.hosted.SplitInputFormat"],
        ["-outputformat", "dev.sheaf.hosted.NamedOutputFormat", "-output", output],
        ["-mapper", `${process.execPath} ${join(work, "program.cjs")}`, "-reducer", "NONE"],
      ].flat(),
      { encoding: "utf8", cwd: directory, env: { ...process.env, ...lab.env, LC_ALL: "C.UTF-8" } },
    );
    return { status, stderr, output };
  }

  test("gives each map task its line, and puts what it writes into files by their names", () => {
    const { status, stderr, output } = runJob("names", "here,there\tone\n\t{}\n\tsü\n");
    assert.equal(status, 0, stderr);
    const tail = Buffer.from([0, 13, 10, 255]);
    for (const [task, text] of ["one", "{}", "sü"].entries()) {
      const written = readFileSync(join(output, `files/täsk ${task}/part`));
      assert.deepEqual(written, Buffer.concat([Buffer.from(text), tail]));
      assert.equal(readFileSync(join(output, `files/empty-${task}`)).length, 0);
    }
    const names = readdirSync(join(output, "files")).filter((name) => !name.startsWith("."));
    assert.equal(names.length, 6);
  });

  test("refuses names outside of the output and bytes that come late, and tells what a task says", () => {
    const outside = runJob("outside", "\tbad ../../escaped\n");
    assert.notEqual(outside.status, 0);
    assert.match(outside.stderr, /no name of an output file: \.\.\/\.\.\/escaped/);
    const late = runJob("late", "\ttwice\n");
    assert.notEqual(late.status, 0);
    assert.match(late.stderr, /more bytes of files\/täsk 0\/part come behind another file/);
    assert.notEqual(runJob("fails", "\tfails\n").status, 0);
    const told = readdirSync(join(work, "fails/errors")).filter((name) => name.startsWith("attempt_"));
    assert.equal(told.length, 1);
    assert.equal(readFileSync(join(work, "fails/errors", told[0]!), "utf8"), '{"message":"naïve"}');
    assert.ok(!readdirSync(join(work, "fails-out")).includes("files"));
  });

  test("works on files by Hadoop's client, and says why it cannot", async () => {
    const command = [join(lab.home, "bin/hadoop"), "jar", jar, "dev.sheaf.hosted.Files", "-"] as const;
    const tool = new FileTool([...command], { ...process.env, ...lab.env }, { "a.b": "c" });
    const at = (name: string): string => `file://${work}/tool ü%20/${name}`;
    try {
      const about = await tool.about(["a.b", "no.such"]);
      assert.deepEqual([about.hadoop, about.conf], [maven.hadoop, { "a.b": "c", "no.such": null }]);
      assert.equal(about.files, "file:///");
      const local = join(work, "local\tfile");
      writeFileSync(local, 'tab\tand "quotes" \\ ü\n');
      await tool.makeDirectory(at("deep/er"));
      await tool.put(local, at("deep/er/a"));
      await assert.rejects(tool.put(local, at("deep/er/a")), { code: "OUTPUT_EXISTS" });
      assert.equal(await tool.readText(at("deep/er/a")), 'tab\tand "quotes" \\ ü\n');
      // How large a directory is, file systems say each in its own way.
      const listed = (await tool.list(at("deep"))).map(({ name, kind }) => ({ name, kind }));
      assert.deepEqual(listed, [{ name: "er", kind: "directory" }]);
      await tool.makeDirectory(at("there"));
      // Neither into a directory of that name, nor over a file.
      await assert.rejects(tool.rename(at("deep"), at("there")), { code: "OUTPUT_EXISTS" });
      await tool.rename(at("deep"), at("moved"));
      assert.equal(await tool.stat(at("deep")), null);
      assert.deepEqual(await tool.stat(at("moved/er/a")), { kind: "file", bytes: 22 });
      await tool.get(at("moved"), join(work, "fetched"));
      assert.ok(readFileSync(join(work, "fetched/er/a")).equals(readFileSync(local)));
      await assert.rejects(tool.get(at("none"), join(work, "none")), { code: "NOT_FOUND" });
      await assert.rejects(tool.list("nofs://x/y"), (error: Error) =>
        /No FileSystem for scheme/.test(error.message),
      );
      await tool.remove(at("moved"));
      await tool.remove(at("moved"));
      assert.equal(await tool.stat(at("moved")), null);
    } finally {
      await tool.close();
    }
    await assert.rejects(tool.stat(at("moved")), { code: "UNREACHABLE" });
  });

  test("that Hadoop does not start is said with what it wrote", async () => {
    const broken = join(work, "hadoop");
    writeFileSync(
      broken,
      "#!/bin/sh\necho 'ERROR: JAVA_HOME is not set and could not be found.' >&2\nexit 1\n",
    );
    chmodSync(broken, 0o755);
    const tool = new FileTool([broken], {}, {});
    await assert.rejects(tool.about([]), (error: Error & { hint?: string }) => {
      assert.match(error.message, /exit code 1: ERROR: JAVA_HOME is not set/);
      assert.match(error.hint ?? "", /Set JAVA_HOME/);
      return true;
    });
    await tool.close();
  });
});
