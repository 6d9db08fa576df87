// The three dearest orders of each city, dearest first. Only three orders a city travel from each map task.
//
//   sheaf gen csv orders.csv --records 10000
//   sheaf run top-k.ts orders.csv -o dearest
//
// dearest/part-*.tsv: the city, then a JSON object for each order, with tabs between.
import { csv, job, topK } from "sheaf";

interface Order {
  readonly id: string;
  readonly price: number;
}

export default job({
  input: csv({ columns: { id: "string", city: "string", price: "number" } }),
  map(order, emit) {
    emit(order.city, { id: order.id, price: order.price });
  },
  reduce: topK<Order>(3, { by: (order) => order.price }),
});
