/*
 * esbuild without its install script, which package managers refuse, ask about or warn of. The build
 * (scripts/vendor.mjs) copies its JavaScript beside this module; its binaries are optional packages of
 * sheaf's own, of exactly the same version.
 */
export { build } from "esbuild";
export type { BuildFailure, BuildOptions, BuildResult, Loader, Message, Plugin } from "esbuild";
