// A join of two inputs of different formats: every order with the name of its customer.
//
//   customers.csv      id,name
//   orders/*.jsonl     {"customer": 7, "amount": 12.5}
//
//   sheaf run join.ts customers=customers.csv 'orders=orders/*.jsonl' -o joined
//
// joined/part-*.tsv: "customer<tab>name<tab>amount", a line for every order of a known customer.
import { csv, job, jsonl } from "sheaf";

interface Order {
  customer: number;
  amount: number;
}

type Side = readonly [from: "customers", name: string] | readonly [from: "orders", amount: number];

export default job({
  // Read in this order, so that a customer's name is the first of its values.
  inputs: { customers: csv({ columns: { id: "integer", name: "string" } }), orders: jsonl<Order>() },
  map: {
    customers: (customer, emit) => emit(customer.id, ["customers", customer.name]),
    orders: (order, emit) => emit(order.customer, ["orders", order.amount]),
  },
  *reduce(_customer: number, sides: Iterable<Side>) {
    let name: string | undefined;
    for (const side of sides) {
      if (side[0] === "customers") name = side[1];
      else if (name !== undefined) yield [name, side[1]] as const;
    }
  },
});
