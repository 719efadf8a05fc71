// Records that could not be written because /run is full: they are kept here, and written when there is room again.

import { messageOf } from '../errors.ts';
import type { System } from '../system.ts';
import { writeRecord } from './database.ts';
import type { DeviceRecord } from './record.ts';
import { updateTags } from './tags.ts';

/** How often it is tried again, while there is something to write. */
const RETRY_MS = 5000;
/** Of 1 KiB each. What is beyond is lost, and said to be. */
const UNSTORED_MAX = 1 << 14;

export type UnstoredRecord = { readonly id: string; readonly record: DeviceRecord; readonly persist: boolean };

export interface Unstored {
  /** Also when the device is done again, or gone: what was kept of it counts no more. */
  forget(id: string): void;
  add(record: UnstoredRecord): void;
  close(): void;
}

export function openUnstored(system: System): Unstored {
  const ending = new AbortController();
  const waiting = new Map<string, UnstoredRecord>();
  let isTrying = false;

  const retry = async (): Promise<void> => {
    isTrying = true;
    try {
      while (waiting.size > 0) {
        await system.clock.sleep(RETRY_MS, ending.signal);
        for (const { id, record, persist } of waiting.values()) {
          // The first that fails speaks for all.
          if (!writeRecord(system, id, record, { persist })) break;
          updateTags(system, id, record.tags, []);
          waiting.delete(id);
        }
        if (waiting.size === 0) system.log.notice({ code: 'records-written', message: 'all records that could not be written before are written now' });
      }
    } finally {
      isTrying = false;
    }
  };
  return {
    forget: (id) => {
      waiting.delete(id);
    },
    add(record) {
      if (waiting.size >= UNSTORED_MAX) {
        system.log.error({ code: 'record-lost', message: `the record of ${record.id} is lost: ${UNSTORED_MAX} wait to be written already` });
        return;
      }
      waiting.set(record.id, record);
      if (isTrying) return;
      retry().catch((error: unknown) => {
        if (!ending.signal.aborted) system.log.error({ code: 'record-lost', message: messageOf(error) });
      });
    },
    close: () => ending.abort(),
  };
}
