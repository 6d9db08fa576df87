import { SheafError } from "../base/errors.ts";
import { BinaryHeap } from "./heap.ts";
import type { Grants } from "./messages.ts";

/** What one agent brings into a bidding. */
export interface Bidder {
  readonly node: string;
  /** How idle its machine is, as measured: 0 to 100. */
  readonly utility: number;
  /** Tasks it runs at once. */
  readonly slots: number;
  /** Slots that are granted to no job yet, 0 to `slots`. */
  readonly free: number;
  /** What jobs were granted there but measuring does not show yet, in percent; see `expectedLoadOf`. */
  readonly expectedLoad: number;
  /** It holds input of the job. */
  readonly local: boolean;
}

interface BidRequest {
  /** Cores the job could use, 1 or more. */
  readonly wanted: number;
  readonly agents: readonly Bidder[];
}

interface BidAnswer {
  readonly node: string;
  /** What it bids when the round begins: utility less what is expected of earlier grants. */
  readonly utility: number;
  /** The free slots it answers with ... */
  readonly cores: number;
  /** ... and how many of them are taken in this round. */
  readonly granted: number;
}

interface BidRound {
  readonly bar: number;
  /** Of the agents at or above the bar, best first. */
  readonly answers: readonly BidAnswer[];
}

export interface BidResult {
  readonly rounds: readonly BidRound[];
  /** Only nodes that were granted something. */
  readonly grants: Grants;
  /** Cores that were found. */
  readonly granted: number;
  /** Why not all that was wanted was granted; null when it was. */
  readonly reason: string | null;
}

const BAR_STEP = 10;

interface Contender {
  readonly bidder: Bidder;
  bid: number;
  free: number;
  taken: number;
}

/**
 * Finds cores for a job as mreasy did: the bar begins at 100 and goes down by 10 until there are enough, or
 * it has come to 0. Agents that bid the bar or more answer with their free slots. Of those the ones that hold
 * input come first, then the less loaded, then by name. Slots are taken one by one, and each lowers what its
 * agent bids by the load one more task is expected to be (optimistic planning), so that work spreads before
 * anything is measured. At 0 every free slot counts.
 * @throws SheafError USAGE when `wanted` is no whole number of at least 1
 */
export function bid(request: BidRequest): BidResult {
  const { wanted } = request;
  if (!Number.isSafeInteger(wanted) || wanted < 1) {
    throw new SheafError("USAGE", `${wanted} cores are wanted`, {
      hint: "Give a whole number of 1 or more.",
    });
  }
  const contenders = request.agents.map((bidder): Contender => {
    const free = Math.max(0, Math.min(bidder.free, bidder.slots));
    return { bidder, bid: clamp(bidder.utility - bidder.expectedLoad), free, taken: 0 };
  });
  const rounds: BidRound[] = [];
  let granted = 0;
  for (let bar = 100; bar >= 0 && granted < wanted; bar -= BAR_STEP) {
    const { round, taken } = runRound(bar, contenders, wanted - granted);
    rounds.push(round);
    granted += taken;
  }
  const winners = contenders.filter(({ taken }) => taken > 0);
  const grants = Object.fromEntries(winners.map(({ bidder, taken }) => [bidder.node, taken]));
  return { rounds, grants, granted, reason: reasonOf(request.agents, wanted, granted) };
}

/**
 * The load that jobs were promised and measuring does not show yet, in percent: what `granted` slots would
 * take less what the machine is already seen to do.
 */
export function expectedLoadOf(slots: number, granted: number, utility: number): number {
  if (slots <= 0) return 0;
  return Math.max(0, (100 * granted) / slots - (100 - clamp(utility)));
}

function runRound(
  bar: number,
  contenders: readonly Contender[],
  wanted: number,
): { round: BidRound; taken: number } {
  const answering = contenders.filter((one) => one.free > 0 && one.bid >= bar).sort(byRank);
  const before = answering.map(({ bidder, bid: utility, free, taken }) => ({ bidder, utility, free, taken }));
  const best = new BinaryHeap<Contender>((a, b) => byRank(a, b) < 0);
  for (const one of answering) best.push(one);
  let left = wanted;
  while (left > 0) {
    const one = best.pop();
    if (one === undefined) break;
    one.taken++;
    one.free--;
    left--;
    one.bid = clamp(one.bid - 100 / one.bidder.slots);
    if (one.free > 0 && one.bid >= bar) best.push(one);
  }
  const answers = before.map(({ bidder, utility, free, taken }, i): BidAnswer => {
    return { node: bidder.node, utility, cores: free, granted: answering[i]!.taken - taken };
  });
  return { round: { bar, answers }, taken: wanted - left };
}

function byRank(a: Contender, b: Contender): number {
  if (a.bidder.local !== b.bidder.local) return a.bidder.local ? -1 : 1;
  if (a.bid !== b.bid) return b.bid - a.bid;
  return a.bidder.node < b.bidder.node ? -1 : 1;
}

function reasonOf(agents: readonly Bidder[], wanted: number, granted: number): string | null {
  if (granted === wanted) return null;
  if (agents.length === 0) return "no agent takes tasks";
  const slots = agents.reduce((sum, agent) => sum + agent.slots, 0);
  if (granted === 0) return `all ${slots} slots of ${agents.length} agents are granted to other jobs`;
  return `no more than ${granted} of ${slots} slots were free`;
}

/** Anything that is no number counts as 0: an agent that cannot measure is last, not refused. */
function clamp(percent: number): number {
  return percent > 0 ? Math.min(100, percent) : 0;
}
