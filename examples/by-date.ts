// csv to jsonl, one directory a day: `route` names the directory that each record is written to.
//
//   sheaf gen csv orders.csv --records 10000
//   sheaf run by-date.ts orders.csv -o orders
//
// orders/2024-05-01/part-*.jsonl: the orders of that day, each as {"id":"17","date":"2024-05-01",...}, in the
// order of the input. Nothing is sorted or shuffled: each map task writes its own parts.
import { csv, job, jsonl, route } from "sheaf";

interface Order {
  readonly id: string;
  readonly date: string;
  readonly city: string;
  readonly price: number;
}

export default job({
  input: csv({ columns: { id: "string", date: "string", city: "string", price: "number" } }),
  map(order, emit) {
    emit(null, order);
  },
  output: route((_key: null, order: Order) => order.date, jsonl({ shape: "record" })),
});
