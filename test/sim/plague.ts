import type { Random } from "#src/base/random.js";
import type { SimNode } from "./sim-node.js";
import type { World } from "./world.js";

/** A random time whose mean is this. */
export function waitMs(random: Random, meanMs: number): number {
  return -Math.log(1 - random.next()) * meanMs;
}

/** Lets one node crash, freeze, be cut off, leave and be barred by hand, as long as there are faults. */
export function plague(world: World, node: SimNode, random: Random): void {
  const { nodeCrashMs, nodePauseMs, pauseMaxMs, partitionMs, drainMs, handBarMs } = world.rates;
  const again = (meanMs: number, act: () => void, leastMs = 0): void => {
    if (meanMs === 0) return;
    world.queue.after(waitMs(random, meanMs) + leastMs, () => {
      if (!world.faulty) return;
      act();
      again(meanMs, act, leastMs);
    });
  };
  again(nodeCrashMs, () => crash(world, node, random));
  const pause = (): void => {
    world.log.count("node pause");
    node.pausedUntilMs = world.queue.nowMs + random.next() * pauseMaxMs;
  };
  again(nodePauseMs, pause, pauseMaxMs);
  again(partitionMs, () => cutOff(world, node, random));
  again(drainMs, () => drain(world, node, random));
  again(handBarMs, () => barByHand(world, node, random));
}

function crash(world: World, node: SimNode, random: Random): void {
  if (!node.up) return;
  world.log.count("node crash");
  const ref = node.ref;
  node.crash();
  if (random.next() < 0.3)
    world.toCoordinator({ kind: "nodeLost", ...ref, reason: "connection reset" }, node);
  const forGood = node.plan.id !== "n0" && random.next() < 0.1;
  if (!forGood) world.queue.after(500 + random.next() * 20_000, () => node.up || node.start());
}

/** One way or both. */
function cutOff(world: World, node: SimNode, random: Random): void {
  const way = random.below(3);
  const untilMs = world.queue.nowMs + random.next() * 40_000;
  world.log.count(`partition ${["to the node", "from the node", "both ways"][way]}`);
  if (way !== 1) node.deafUntilMs = untilMs;
  if (way !== 0) node.muteUntilMs = untilMs;
}

function drain(world: World, node: SimNode, random: Random): void {
  if (!node.up || node.draining) return;
  world.log.count("node drained");
  node.drain(true);
  const { incarnation } = node;
  node.later(5_000 + random.next() * 60_000, incarnation, () => node.draining && node.drain(false));
}

function barByHand(world: World, node: SimNode, random: Random): void {
  world.log.count("node barred by hand");
  world.hear({ kind: "nodeBarredByHand", node: node.plan.id, reason: "for a while" });
  const admit = (): void => {
    if (!world.hear({ kind: "nodeAdmittedByHand", node: node.plan.id })) world.queue.after(1_000, admit);
  };
  world.queue.after(random.next() * 30_000, admit);
}
