// The types of module parameters: which values the kernel takes for each, as far as the type alone decides.

/** Bits of the integer types, negative for signed ones. Source: include/linux/moduleparam.h, kernel/params.c. */
const INTEGERS: Readonly<Record<string, number>> = {
  byte: 8, short: -16, ushort: 16, int: -32, uint: 32, hexint: 32, long: -64, ulong: 64, ullong: 64,
};
/** kernel/params.c: param_set_charp refuses longer ones. */
const CHARP_MAX = 1024;
/** lib/kstrtox.c, kstrtobool; newer kernels take more of these than older ones, which do not know e, d and t. */
const BOOLEAN = /^(?:[yYtTeE1nNfFdD0]|[oO][nNfF])/;

/**
 * Why a module with a parameter of this type (`int`, `array of charp`) refuses to load with this value, as the end of a sentence
 * that begins with the parameter; undefined where it loads or only the module itself can tell. A long has 64 bits here.
 */
export function valueProblem(type: string, value: string | undefined): string | undefined {
  const array = type.startsWith('array of ');
  const element = array ? type.slice('array of '.length) : type;
  if (value === undefined) {
    if (!array && (element === 'bool' || element === 'bint')) return undefined;
    return isKnown(element) ? `needs a value (${type})` : undefined;
  }
  for (const each of array ? value.split(',') : [value]) {
    if (!takes(element, each)) return `is of type ${type} and does not take '${each}'`;
  }
  return undefined;
}

function isKnown(type: string): boolean {
  return type === 'bool' || type === 'invbool' || type === 'bint' || type === 'charp' || type === 'string' || Object.hasOwn(INTEGERS, type);
}

function takes(type: string, value: string): boolean {
  if (type === 'bool' || type === 'invbool' || type === 'bint') return BOOLEAN.test(value);
  if (type === 'charp') return value.length <= CHARP_MAX;
  const bits = Object.hasOwn(INTEGERS, type) ? INTEGERS[type] : undefined;
  return bits === undefined || isInteger(value, bits, type === 'hexint' ? 16 : 0);
}

/** As kstrtoll and kstrtoull read: a sign, 0x for 16, 0 for 8; one newline at the end. */
function isInteger(text: string, bits: number, base: 0 | 16): boolean {
  const match = /^([+-]?)(?:0[xX]([\da-fA-F]+)|([\da-fA-F]+))\n?$/.exec(text);
  if (!match || (match[1] === '-' && bits > 0)) return false;
  const digits = match[3] ?? '';
  const hex = match[2] ?? (base === 16 ? digits : undefined);
  if (hex === undefined && !(digits.startsWith('0') ? /^[0-7]+$/ : /^\d+$/).test(digits)) return false;
  // No type has more digits than 64 bits in base 8: a long text need not become a number.
  if ((hex ?? digits).replace(/^0+/, '').length > 22) return false;
  const magnitude = BigInt(hex !== undefined ? `0x${hex}` : digits.length > 1 && digits.startsWith('0') ? `0o${digits}` : digits);
  const width = BigInt(Math.abs(bits));
  if (bits > 0) return magnitude < 1n << width;
  return match[1] === '-' ? magnitude <= 1n << (width - 1n) : magnitude < 1n << (width - 1n);
}
