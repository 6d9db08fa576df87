/** As Java prints a double: "3.0", "1.0E7". */
export function javaDouble(value: number): string {
  return javaText(value, String);
}

/** As Java prints a float: the fewest digits that are this float again. */
export function javaFloat(value: number): string {
  return javaText(value, (number) => {
    for (let digits = 1; ; digits++) {
      const text = number.toPrecision(digits);
      if (Math.fround(Number(text)) === number || digits === 9) return String(Number(text));
    }
  });
}

function javaText(value: number, shortest: (value: number) => string): string {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const text = shortest(value);
  const size = Math.abs(Number(text));
  if (size >= 1e-3 && size < 1e7) return text.includes(".") ? text : `${text}.0`;
  const [digits = "", exponent = ""] = Number(text).toExponential().split("e");
  return `${digits.includes(".") ? digits : `${digits}.0`}E${Number(exponent)}`;
}
