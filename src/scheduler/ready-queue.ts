import { Heap } from "./heap.ts";
import type { Task } from "./task.ts";

/**
 * The READY tasks of one job, in task order: one heap for all that may run anywhere, one per node for those
 * pinned to it or near it. A task stands in several heaps; entries whose task is READY no more are dropped
 * when they come up.
 */
export class ReadyQueue {
  readonly #anywhere = newHeap();
  readonly #near = new Map<string, Heap<Task>>();

  add(task: Task): void {
    if (task.queued) return;
    task.queued = true;
    for (const node of task.pinned) this.#heapOf(node).push(task);
    if (task.pinned.length > 0) return;
    for (const node of task.preferred) this.#heapOf(node).push(task);
    this.#anywhere.push(task);
  }

  /**
   * The best READY task for the node: near it if there is one. With `avoid`, rather not one that failed there
   * last (with a single node that would only put off the failure). The task stays in the queue.
   */
  peek(node: string, avoid: boolean): Task | undefined {
    const near = this.#near.get(node);
    const nearest = near && first(near, node, avoid);
    if (near?.size === 0) this.#near.delete(node);
    return nearest ?? first(this.#anywhere, node, avoid);
  }

  #heapOf(node: string): Heap<Task> {
    let heap = this.#near.get(node);
    if (heap === undefined) this.#near.set(node, (heap = newHeap()));
    return heap;
  }
}

function newHeap(): Heap<Task> {
  return new Heap<Task>((a, b) => a.order < b.order);
}

function first(heap: Heap<Task>, node: string, avoid: boolean): Task | undefined {
  const task = firstReady(heap);
  if (!avoid || task?.lastFailedNode !== node) return task;
  heap.pop();
  const other = firstReady(heap);
  heap.push(task);
  return other === undefined || other.lastFailedNode === node ? task : other;
}

function firstReady(heap: Heap<Task>): Task | undefined {
  for (;;) {
    const task = heap.peek();
    if (task === undefined || task.state.kind === "READY") return task;
    heap.pop();
    task.queued = false;
  }
}
