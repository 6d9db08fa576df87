// Orders and turnover per city of a csv with quoted fields.
import { csv, job, stats, sum } from "sheaf";

export default job({
  input: csv({ columns: { city: "string", price: "number" } }),
  map: ({ city, price }, emit) => emit(city, { orders: 1, turnover: price }),
  reduce: stats({ orders: sum(), turnover: sum() }),
});
