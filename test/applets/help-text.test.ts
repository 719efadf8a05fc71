// The text of --help in narrow terminals.

import { describe, expect, it } from 'vitest';

import { wrapHelp } from '../../src/applets/help-text.ts';

const TEXT = `Usage: tool [OPTION]... FILE
       tool --shell and more words than fit
Prose of the tool that is longer than
a line may be in this terminal.

  create -o FILE   make one, with indexes that
                   are up to date
  list             short
  --exactly-column it stands in the column
      --very-long-option-name-here  what it means
/a/path/that/is/longer/than/a/line/may/be
`;

describe('wrapHelp', () => {
  it('leaves alone what fits', () => {
    expect(wrapHelp(TEXT, 60)).toBe(TEXT);
  });

  it('wraps meanings below where they begin and prose at the margin, and keeps words whole', () => {
    expect(wrapHelp(TEXT, 36)).toBe(`Usage: tool [OPTION]... FILE
       tool --shell and more words
       than fit
Prose of the tool that is longer
than a line may be in this terminal.

  create -o FILE   make one, with
                   indexes that are
                   up to date
  list             short
  --exactly-column it stands in the
                   column
      --very-long-option-name-here
      what it means
/a/path/that/is/longer/than/a/line/may/be
`);
  });
});
