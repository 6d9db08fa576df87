/**
 * Quantiles of Student's t distribution, for confidence intervals of means. Formulas by number: M. Abramowitz
 * and I. Stegun, "Handbook of Mathematical Functions" (1964).
 */

/** Two-sided 95 % of the normal distribution lie within so many standard deviations. */
export const NORMAL_95 = 1.959963984540054;
/** From here on the series in 1/freedom has all digits. */
const SERIES_FROM = 1_000;

const known: (number | undefined)[] = [];

/**
 * Two-sided 95 % of Student's t lie within so many standard errors, to 13 digits.
 * @param freedom degrees of freedom, a whole number of 1 and more
 */
export function studentT95(freedom: number): number {
  if (freedom >= SERIES_FROM) return series(freedom);
  return (known[freedom] ??= bisected(freedom));
}

/** 26.7.5 */
function series(freedom: number): number {
  const z = NORMAL_95;
  const z2 = z * z;
  const terms = [
    (z * (z2 + 1)) / 4,
    (z * ((5 * z2 + 16) * z2 + 3)) / 96,
    (z * (((3 * z2 + 19) * z2 + 17) * z2 - 15)) / 384,
    (z * ((((79 * z2 + 776) * z2 + 1482) * z2 - 1920) * z2 - 945)) / 92160,
  ];
  return terms.reduceRight((sum, term) => (sum + term) / freedom, 0) + z;
}

/** The angle whose tangent is t / sqrt(freedom), found by halving. */
function bisected(freedom: number): number {
  let low = 0;
  let high = Math.PI / 2;
  for (;;) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) return Math.sqrt(freedom) * Math.tan(middle);
    if (within(middle, freedom) < 0.95) low = middle;
    else high = middle;
  }
}

/** The probability within +-t, by its angle: 26.7.3 for odd degrees of freedom, 26.7.4 for even ones. */
function within(angle: number, freedom: number): number {
  const sine = Math.sin(angle);
  const cosine = Math.cos(angle);
  const isOdd = freedom % 2 === 1;
  let term = isOdd ? cosine : 1;
  let sum = freedom === 1 ? 0 : term;
  for (let at = isOdd ? 3 : 2; at < freedom; at += 2) {
    term *= ((at - 1) / at) * cosine * cosine;
    sum += term;
  }
  return isOdd ? (2 / Math.PI) * (angle + sine * sum) : sine * sum;
}
