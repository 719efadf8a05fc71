// What udevadm verify says of the blanks and commas between tokens. None of it matters to the rules.

/** What is between two tokens, before the first or behind the last one: the complaints, in udev's order. */
export function delimiterStyle(delimiters: string, place: 'first' | 'between' | 'last'): readonly string[] {
  if (delimiters === ', ' && place === 'between') return NOTHING;
  const comma = delimiters.indexOf(',');
  if (place !== 'between') return comma < 0 ? NOTHING : [`stray ${place === 'first' ? 'leading' : 'trailing'} comma.`];
  if (comma < 0) {
    const complaint = 'a comma between tokens is expected.';
    return delimiters === '' ? [complaint, 'whitespace between tokens is expected.'] : [complaint];
  }
  const complaints: string[] = [];
  if (delimiters.includes(',', comma + 1)) complaints.push('more than one comma between tokens.');
  if (comma > 0) complaints.push('stray whitespace before comma.');
  if (!/[^,]/.test(delimiters.slice(comma))) complaints.push('whitespace after comma is expected.');
  return complaints;
}

const NOTHING: readonly string[] = [];
