import type * as Esbuild from "esbuild";
import { createRequire } from "node:module";

/*
 * esbuild without its install script, which package managers refuse, ask about or warn of. The build
 * (scripts/vendor.mjs) copies its JavaScript beside this module; its binaries are optional packages of
 * sheaf's own, of exactly the same version. By require, for Node would first look through all its text for
 * what an import may find in it: 0.1 s of every start.
 */
const esbuild = createRequire(import.meta.url)("../vendor/esbuild/lib/main.js") as typeof Esbuild;

export const build: typeof Esbuild.build = esbuild.build;
export type { BuildFailure, BuildOptions, BuildResult, Loader, Message, Plugin } from "esbuild";
