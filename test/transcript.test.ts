import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

import { machineTranscript, README, transcriptIn } from '../scripts/transcript.mjs';

it('README shows what the commands print on the captured machine: npm run transcript -- machine', () => {
  expect(transcriptIn(readFileSync(README, 'utf8'), 'machine')).toBe(machineTranscript());
});
