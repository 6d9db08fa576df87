import { KiB, MiB } from "../base/size.ts";

/** How map outputs are fetched from other agents. Sizes are bytes, times ms. */
export interface FetchLimits {
  /** Requests at once, to all agents and to one. */
  readonly streams: number;
  readonly streamsPerPeer: number;
  /** Tries in a row that bring nothing before a map output counts as unreadable. */
  readonly tries: number;
  /** After the first of them; three times as long after each further one. Up to half of it is taken off. */
  readonly pauseMs: number;
  readonly connectMs: number;
  /** A request that brings less than `stallBytes` within `stallMs` is given up. */
  readonly stallMs: number;
  readonly stallBytes: number;
  /** What one request should bring, so that others get their turn; a larger slice is fetched whole. */
  readonly batchBytes: number;
  /** How long a signed URL is good for. Clocks of machines may differ by so much. */
  readonly urlMs: number;
}

export const fetchLimits: FetchLimits = {
  streams: 8,
  streamsPerPeer: 2,
  tries: 3,
  pauseMs: 1_000,
  connectMs: 5_000,
  stallMs: 30_000,
  stallBytes: 64 * KiB,
  batchBytes: 32 * MiB,
  urlMs: 3_600_000,
};
