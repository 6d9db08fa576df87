/*
 * Of undici, the pools of connections that clients have. The build (scripts/vendor.mjs) puts them into this
 * one module, without what is around them (fetch, WebSocket, caches, mocks): to find and load
 * those, too, took a fifth of the time of a short run.
 */
export { Agent, EnvHttpProxyAgent, Pool } from "undici";
export type { Dispatcher } from "undici";
