import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/**
 * Removes compiled files whose source is gone: they would be imported, tested or shipped for ever. What the
 * bundler makes was never compiled.
 * @param {string} built directory tsc wrote to
 * @param {string} source directory it compiled
 */
export function removeStale(built, source) {
  if (!existsSync(built)) return;
  for (const name of readdirSync(built, { recursive: true, encoding: "utf8" })) {
    const stem = /^(.*?)(?:\.js|\.d\.ts|\.js\.map)$/.exec(name)?.[1];
    if (
      stem !== undefined &&
      !/^(?:vendor[/\\].*|inside[/\\].*|lib)[/\\]/.test(stem) &&
      !existsSync(join(source, `${stem}.ts`))
    )
      rmSync(join(built, name), { force: true });
  }
}

/** Flags for tsc: it keeps what it knows beside what it wrote, so that the two go together. */
export function incremental(built) {
  return ["--incremental", "--tsBuildInfoFile", `${built}/.tsbuildinfo`];
}
