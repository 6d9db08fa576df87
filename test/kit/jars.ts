import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, realpathSync, renameSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository. */
export const root = fileURLToPath(new URL("../../../", import.meta.url));

/** scripts/maven.mjs, which has no types. */
interface Maven {
  readonly cache: string;
  /** Version of Hadoop. */
  readonly hadoop: string;
  readonly names: Readonly<Record<"cluster" | "streaming" | "local" | "hosted", string>>;
  hasJars(name: string): boolean;
  jarsOf(name: string): string;
}
export const maven = (await import(new URL("../../../scripts/maven.mjs", import.meta.url).href)) as Maven;

/** Why tests with these sets of jars cannot run here; null: they can. In CI they have to. */
export function javaMissing(what: string, ...sets: readonly (keyof Maven["names"])[]): string | null {
  const hasAll = sets.every((set) => maven.hasJars(maven.names[set]));
  const missing = ["java", "javac", ...(hasAll ? [] : ["mvn"])].filter(
    (program) => spawnSync(program, ["-version"]).status !== 0,
  );
  if (missing.length === 0) return null;
  if (process.env["CI"] === "true") throw new Error(`for ${what} there has to be ${missing.join(", ")}`);
  return `NO ${what} HERE, it needs ${missing.join(", ")}: apt-get install openjdk-17-jdk-headless maven`;
}

/** Why tests that take minutes are not run now; null: they are. */
export function onlyWithEngines(what: string): string | null {
  if (process.env["SHEAF_TEST_ENGINES"] === "all") return null;
  return `${what} IS NOT TESTED HERE: npm run test:engines -- all`;
}

/** The classes of a source file below test/, compiled when it has changed. */
export function compileJava(source: string, jars: readonly string[]): string {
  const path = join(root, "test", source);
  const hash = createHash("sha256").update(readFileSync(path)).update(jars.join()).digest("hex").slice(0, 16);
  const classes = join(maven.cache, `${basename(source, ".java")}-${hash}`);
  if (existsSync(classes)) return classes;
  const made = mkdtempSync(join(maven.cache, "javac-"));
  const classPath = jars.map((one) => `${one}/*`).join(":");
  execFileSync("javac", ["-nowarn", "-cp", classPath, "-d", made, path], { stdio: ["ignore", 2, 2] });
  if (!existsSync(classes)) renameSync(made, classes);
  return classes;
}

/** The directory that JAVA_HOME is to name for the `java` within PATH. */
export function javaHome(): string {
  const java = execFileSync("/bin/sh", ["-c", "command -v java"], { encoding: "utf8" }).trim();
  return dirname(dirname(realpathSync(java)));
}

/** dist/hosted/sheaf-hosted.jar, built when it is not there or older than its sources. */
export function hostedJar(): string {
  execFileSync(process.execPath, [join(root, "scripts/build-jar.mjs")], { stdio: ["ignore", 2, 2] });
  return join(root, "dist/hosted/sheaf-hosted.jar");
}
