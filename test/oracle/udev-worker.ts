// Runs pieces of udev in a process of its own, as a JSON list of steps asks: for namespaces, and for many processes at once.

import { closeSync, openSync } from 'node:fs';
import { argv, stdout } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

import type { SystemOptions } from '../../src/system.ts';
import { openSystem } from '../../src/system.ts';
import { openControlServer, sendControl } from '../../src/udev/control-socket.ts';
import type { ControlMessage } from '../../src/udev/control-message.ts';
import { writeRecord } from '../../src/udev/database.ts';
import { openDeviceWatch } from '../../src/udev/device-watch.ts';
import type { WatchedDevice } from '../../src/udev/device-watch.ts';
import { removeLinks, updateLinks } from '../../src/udev/links.ts';
import type { LinkOwner } from '../../src/udev/links.ts';
import { renameInterface } from '../../src/udev/net-rename.ts';
import { removeNode, updateNode } from '../../src/udev/node.ts';
import { EMPTY_RECORD } from '../../src/udev/record-file.ts';
import { applyStaticNodeRules, createStaticNodes } from '../../src/udev/static-nodes.ts';
import type { StaticNodeWishes } from '../../src/udev/static-nodes.ts';
import { updateTags } from '../../src/udev/tags.ts';
import { openUdevMonitor, sendBroadcast } from '../../src/udev/udev-monitor.ts';

/** A device with a node, as plain data. */
export type StepDevice = LinkOwner & { readonly properties?: Readonly<Record<string, string>> };

export type Step =
  | {
    readonly step: 'event'; readonly id: string; readonly device: StepDevice; readonly links?: readonly string[]; readonly previous?: readonly string[];
    readonly priority?: number; readonly properties?: Readonly<Record<string, string>>; readonly tags?: readonly string[]; readonly persist?: boolean;
    readonly mode?: number; readonly group?: number; readonly owner?: number;
  }
  | { readonly step: 'node'; readonly device: StepDevice }
  | { readonly step: 'remove'; readonly device: StepDevice; readonly links: readonly string[] }
  | { readonly step: 'churn'; readonly device: StepDevice; readonly links: readonly string[]; readonly rounds: number }
  | { readonly step: 'broadcast'; readonly subsystem: string; readonly devtype?: string; readonly tags: readonly string[]; readonly properties: Readonly<Record<string, string>> }
  | { readonly step: 'hear'; readonly property: string }
  | { readonly step: 'serve'; readonly messages: number }
  | { readonly step: 'control'; readonly messages: readonly ControlMessage[] }
  | { readonly step: 'rename'; readonly ifindex: number; readonly sysname: string; readonly name: string }
  | { readonly step: 'static'; readonly wishes: readonly StaticNodeWishes[] }
  | { readonly step: 'watch'; readonly device: WatchedDevice; readonly write: string };

const [, , stepsText = '[]', optionsText = '{}'] = argv;
const log: string[] = [];
const say = (level: string) => ({ message }: { message: string }) => void log.push(`${level}: ${message}`);
const system = openSystem({
  ...(JSON.parse(optionsText) as SystemOptions),
  log: { error: say('error'), warn: say('warn'), notice: say('notice'), info: say('info'), debug: () => undefined },
});
const results: unknown[] = [];
for (const step of JSON.parse(stepsText) as readonly Step[]) results.push(await run(step));
stdout.write(`${JSON.stringify({ results, log })}\n`, () => process.exit(0));

async function run(step: Step): Promise<unknown> {
  switch (step.step) {
    case 'event': {
      const { id, device, links = [], previous = [], priority = 0, properties = {}, tags = [], persist = false } = step;
      const wishes = { owner: step.owner, group: step.group, mode: step.mode };
      const node = await updateNode(system, { ...device, properties: new Map(Object.entries(device.properties ?? {})) }, wishes);
      await updateLinks(system, device, { links, priority, previous });
      updateTags(system, id, tags, []);
      const set = new Set(tags);
      writeRecord(system, id, {
        ...EMPTY_RECORD, links, linkPriority: priority, initialisedUsec: 1, properties: new Map(Object.entries(properties)), tags: set, currentTags: set,
      }, { persist });
      return node;
    }
    case 'node':
      return updateNode(system, { ...step.device, properties: new Map() }, {});
    case 'remove':
      await removeLinks(system, step.device, step.links);
      return removeNode(system, { ...step.device, properties: new Map() });
    case 'churn':
      for (let round = 0; round < step.rounds; round++) {
        await updateLinks(system, step.device, { links: step.links, priority: 0, previous: [] });
        await updateLinks(system, step.device, { links: [], priority: 0, previous: step.links });
      }
      return updateLinks(system, step.device, { links: step.links, priority: 0, previous: [] });
    case 'broadcast': {
      // A listener that has just been started may need some time before it is one.
      const message = { ...step, devtype: step.devtype, properties: new Map(Object.entries(step.properties)) };
      return sendBroadcast(system, message);
    }
    case 'hear':
      return new Promise((resolve, reject) => {
        void openUdevMonitor(system, {
          onMessage: (properties) => {
            if (properties.has(step.property)) resolve([...properties]);
          },
          onLost: () => undefined,
          onError: reject,
        }).then(() => stdout.write('ready\n'));
      });
    case 'serve': {
      const heard: ControlMessage[] = [];
      await new Promise<void>((resolve) => {
        void openControlServer(system, {
          onMessage: (message) => {
            heard.push(message);
            if (heard.length === step.messages) setTimeout(resolve, 200);
          },
          onError: () => resolve(),
        }).then(() => stdout.write('ready\n'));
      });
      return heard;
    }
    case 'control':
      return sendControl(system, step.messages, { timeoutMs: 20_000 });
    case 'rename':
      return renameInterface(system, step, step.name);
    case 'static': {
      const made = await createStaticNodes(system);
      applyStaticNodeRules(system, step.wishes);
      return made;
    }
    case 'watch': {
      const watch = await openDeviceWatch(system, { deviceOf: () => undefined });
      watch.end(step.device);
      closeSync(openSync(step.write, 'r+'));
      await sleep(500);
      return watch.close();
    }
  }
}
