// Makes dist/hosted/sheaf-hosted.jar of java/: what runs in the JVMs of Hadoop and Spark. The same sources
// and the same javac give the same bytes: entries are sorted, without times, not compressed. Without a JDK
// the package is whole but for `--on hadoop` and `--on spark`; with CI=true that is a failure.
//   node scripts/build-jar.mjs [OUTPUT]
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import { hasJars, jarsOf, names } from "./maven.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const usual = join(root, "dist/hosted/sheaf-hosted.jar");
const jar = resolve(process.argv[2] ?? usual);
const sources = filesBelow(join(root, "java/src")).filter((name) => name.endsWith(".java"));
const inputs = [...sources.map((name) => join(root, "java/src", name)), fileURLToPath(import.meta.url)];

if (
  jar === usual &&
  existsSync(jar) &&
  inputs.every((path) => statSync(path).mtimeMs < statSync(jar).mtimeMs)
)
  process.exit(0);

const programs = hasJars(names.hosted) ? ["javac"] : ["javac", "mvn"];
const missing = programs.filter((program) => spawnSync(program, ["-version"]).status !== 0);
if (missing.length > 0) {
  console.error(`${jar} is not built (no --on hadoop or spark): ${missing.join(", ")} is missing`);
  console.error("(apt-get install openjdk-17-jdk-headless maven)");
  process.exit(process.env["CI"] === "true" ? 1 : 0);
}

const classes = mkdtempSync(join(tmpdir(), "sheaf-jar-"));
try {
  const words =
    "--release 8 -Xlint:all,-options,-classfile,-processing,-serial -Werror -proc:none -g:source,lines " +
    "-encoding UTF-8";
  const places = ["-cp", `${jarsOf(names.hosted)}/*`, "-d", classes, ...inputs.slice(0, sources.length)];
  const javac = spawnSync("javac", [...words.split(" "), ...places], { stdio: "inherit" });
  if (javac.status !== 0) process.exit(1);
  const manifest = Buffer.from("Manifest-Version: 1.0\r\n\r\n");
  const files = filesBelow(classes).map((name) => [name, readFileSync(join(classes, name))]);
  mkdirSync(dirname(jar), { recursive: true });
  writeFileSync(`${jar}.${process.pid}`, archive([["META-INF/MANIFEST.MF", manifest], ...files]));
  // By rename: whoever reads the file meanwhile sees the old or the new one whole.
  renameSync(`${jar}.${process.pid}`, jar);
} finally {
  rmSync(classes, { recursive: true, force: true });
}

function filesBelow(directory) {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(directory, name)).isFile())
    .sort();
}

/** A zip of [name, bytes], all stored as they are and of 1 January 1980. */
function archive(files) {
  const parts = [];
  const directory = [];
  let at = 0;
  for (const [name, bytes] of files) {
    const path = Buffer.from(name);
    // Version to extract, flags, method; time and date; checksum, sizes; lengths of name and extra field.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(10, 0);
    common.writeUInt16LE(0x21, 8);
    common.writeUInt32LE(crc32(bytes), 10);
    common.writeUInt32LE(bytes.length, 14);
    common.writeUInt32LE(bytes.length, 18);
    common.writeUInt16LE(path.length, 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), common, path, bytes]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(at, 10);
    directory.push(Buffer.from("PK\x01\x02"), Buffer.from([10, 0]), common, rest, path);
    parts.push(local);
    at += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, central, end]);
}
