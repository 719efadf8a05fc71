import { describe, expect, it } from 'vitest';

import { parseNames } from '../../../src/udev/rules/names.ts';

describe('parseNames', () => {
  it('reads passwd and group alike, the first of two names, and passes over what is no line of theirs', () => {
    expect([...parseNames('root:x:0:0:root:/root:/bin/sh\ndisk:x:6:\n\nbad\n:x:1:\nroot:x:7:\n+::::\nno:x:x:\nno:x:4294967295:\nlast:x:9:')])
      .toEqual([['root', 0], ['disk', 6], ['last', 9]]);
  });
});
