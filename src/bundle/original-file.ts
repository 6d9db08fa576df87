/*
 * Loaded by bundles whose code asks where its file lies: what `import.meta`, `require` and `import()` are to
 * a source file, as if it had not been bundled.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";
import { describeThrown } from "../base/errors.ts";
import { isPath, ownUrl, resolveOutside } from "./outside.ts";

/** What Node gives every module of its own. */
export interface OriginalFile {
  readonly meta: {
    readonly dirname: string;
    readonly filename: string;
    readonly main: boolean;
    readonly resolve: (specifier: string, parent?: string | URL) => string;
    readonly url: string;
  };
  readonly require: NodeJS.Require;
  readonly import: (specifier: unknown, options?: ImportCallOptions) => Promise<unknown>;
}

/**
 * @param path of the source file on the machine where the job was bundled
 * @param entry the job file: packages that `path` cannot see are looked for from there
 */
export function originalFile(path: string, entry: string): OriginalFile {
  const url = pathToFileURL(path).href;
  const resolve = (specifier: string, parent: string | URL = url): string =>
    ownUrl(String(specifier)) ?? resolveOutside(String(specifier), String(parent), entry);
  const meta = Object.assign(Object.create(null) as object, {
    dirname: dirname(path),
    filename: path,
    main: false,
    resolve,
    url,
  });
  return {
    meta,
    require: requireFrom(path, entry),
    async import(specifier, options) {
      const name = String(specifier);
      try {
        const found = resolve(name);
        return (await (options === undefined ? import(found) : import(found, options))) as unknown;
      } catch (error) {
        throw explained(error, name, path);
      }
    },
  };
}

/** Node's own `require` of that file; packages it cannot see are looked for as by resolveOutside. */
function requireFrom(path: string, entry: string): NodeJS.Require {
  const first = createRequire(path);
  const find = (id: string, options?: { paths?: string[] }): string => {
    try {
      return first.resolve(id, options);
    } catch (error) {
      if (options !== undefined || isPath(id)) throw explained(error, id, path);
      for (const place of [entry, `${process.cwd()}/none.js`]) {
        try {
          return createRequire(place).resolve(id);
        } catch {
          // The first error tells more.
        }
      }
      throw explained(error, id, path);
    }
  };
  const require = (id: string): unknown => {
    const found = find(id);
    try {
      return first(found) as unknown;
    } catch (error) {
      throw explained(error, id, path);
    }
  };
  return Object.assign(require, {
    resolve: Object.assign(find, { paths: first.resolve.paths }),
    cache: first.cache,
    extensions: first.extensions,
    main: undefined,
  }) as unknown as NodeJS.Require;
}

const missing: readonly unknown[] = ["MODULE_NOT_FOUND", "ERR_MODULE_NOT_FOUND", "ENOENT"];

/**
 * The same error, so that code which expects it still knows it; where the source file is not on this machine
 * it says so.
 */
function explained(error: unknown, name: string, path: string): unknown {
  if (!(error instanceof Error) || !missing.includes((error as { code?: unknown }).code)) return error;
  if (existsSync(dirname(path)) || error.message.includes(" is not on this machine")) return error;
  error.message =
    `${describeThrown(error)}\n"${name}" is not bundled with the job, and ${dirname(path)}, from where ` +
    `it would be loaded, is not on this machine. Install it at the same path on every agent, or in the ` +
    `directory that the agent runs in.`;
  return error;
}
