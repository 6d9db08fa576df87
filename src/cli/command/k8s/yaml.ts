/** What JSON can say; fields that are undefined are left out. */
export type Plain =
  | string
  | number
  | boolean
  | null
  | readonly Plain[]
  | { readonly [field: string]: Plain | undefined };

/** Words that YAML, 1.1 or 1.2, takes for something else than a text. */
const special = /^(?:true|false|yes|no|on|off|y|n|null)$/i;
const plainText = /^[A-Za-z/][A-Za-z0-9_./-]*$/;

/**
 * A document of YAML in block style. Texts are quoted as in JSON, of which YAML's double quotes are a
 * superset, unless they are plain words.
 */
export function yamlOf(value: Plain): string {
  return `${lines(value).join("\n")}\n`;
}

function lines(value: Plain): string[] {
  if (typeof value !== "object" || value === null) return [scalar(value)];
  if (Array.isArray(value)) {
    const list = (value as readonly Plain[]).flatMap((one) => {
      const [first = "", ...rest] = lines(one);
      return [`- ${first}`, ...rest.map((line) => `  ${line}`)];
    });
    return list.length === 0 ? ["[]"] : list;
  }
  const fields = Object.entries(value as { readonly [field: string]: Plain | undefined }).flatMap(
    ([name, of]) => {
      if (of === undefined) return [];
      const [first = "", ...rest] = lines(of);
      const isBlock = typeof of === "object" && of !== null && !/^(?:\[\]|\{\})$/.test(first);
      return isBlock
        ? [`${scalar(name)}:`, ...[first, ...rest].map((line) => `  ${line}`)]
        : [`${scalar(name)}: ${first}`];
    },
  );
  return fields.length === 0 ? ["{}"] : fields;
}

function scalar(value: string | number | boolean | null): string {
  if (typeof value !== "string") return String(value);
  if (plainText.test(value) && !special.test(value)) return value;
  // YAML has more line ends than JSON, and control characters that it does not take as they are.
  return JSON.stringify(value).replace(/[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g, (one) => {
    return `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
