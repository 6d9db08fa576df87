// Different users per day, exactly and about: `distinct()` keeps every user it has seen, `distinctApprox()`
// 16 KiB however many there are, and is within a percent or so.
//
//   sheaf gen jsonl events.jsonl --records 100000
//   sheaf run visitors.ts events.jsonl -o visitors
//
// visitors/part-*.jsonl: {"key":"2024-05-01","value":{"exact":812,"about":809}}
import { distinct, distinctApprox, job, jsonl, stats } from "sheaf";

interface Event {
  readonly user: string;
  /** Milliseconds since 1970. */
  readonly time: number;
}

export default job({
  input: jsonl<Event>(),
  map(event, emit) {
    const day = new Date(event.time).toISOString().slice(0, 10);
    emit(day, { exact: event.user, about: event.user });
  },
  reduce: stats({ exact: distinct(), about: distinctApprox() }),
  output: jsonl(),
});
