// Secondary sort: the pages each user saw in the order of time, however many there are. Keys are [user,
// time]; `groupBy: 1` gives all of one user to one call of reduce, with the values in the order of the whole
// key.
//
//   sheaf gen jsonl events.jsonl --records 10000
//   sheaf run secondary-sort.ts events.jsonl -o sessions
//
// A pause of more than half an hour begins a new session. Output: "user<tab>steps of each session".
import { job, jsonl } from "sheaf";

interface Event {
  readonly user: string;
  readonly time: number;
  readonly kind: string;
}

const PAUSE_MS = 30 * 60_000;

export default job({
  input: jsonl<Event>(),
  groupBy: 1,
  map(event, emit) {
    emit([event.user, event.time], [event.time, event.kind]);
  },
  reduce(_user: readonly (string | number)[], steps: Iterable<readonly [time: number, kind: string]>) {
    const sessions: string[] = [];
    let current: string[] = [];
    let last = Number.NEGATIVE_INFINITY;
    for (const [time, kind] of steps) {
      if (time - last > PAUSE_MS && current.length > 0) {
        sessions.push(current.join(">"));
        current = [];
      }
      current.push(kind);
      last = time;
    }
    sessions.push(current.join(">"));
    return sessions.join(" ");
  },
});
