// The builtin blkid: ID_FS_*, ID_PART_TABLE_* and ID_PART_ENTRY_* of a block device, by libblkid.

import { closeSync, constants } from 'node:fs';
import { join } from 'node:path';

import { codeOf, messageOf } from '../../errors.ts';
import type { BlkidResult } from '../../system.ts';
import { openNode } from '../open-node.ts';
import type { Builtin, BuiltinContext, BuiltinOutcome } from './builtin.ts';
import { gptAutoRoot } from './gpt-auto-root.ts';
import { parseBuiltinCommand } from './options.ts';
import type { BuiltinOptionSpec } from './options.ts';

const OPTIONS: readonly BuiltinOptionSpec[] = [
  { long: 'hint', short: 'H', argument: 'required' },
  { long: 'offset', short: 'o', argument: 'optional' },
  { long: 'noraid', short: 'R', argument: 'none' },
];

type BlkidValue = BlkidResult['values'][number];

/** libblkid's names, and what becomes of them. `plain`: as it is; the others are properties with blkid's two ways to quote. */
const PROPERTIES: Readonly<Record<string, readonly (readonly [property: string, form: 'value' | 'safe' | 'encoded'])[]>> = {
  TYPE: [['ID_FS_TYPE', 'value']],
  USAGE: [['ID_FS_USAGE', 'value']],
  VERSION: [['ID_FS_VERSION', 'value']],
  UUID: [['ID_FS_UUID', 'safe'], ['ID_FS_UUID_ENC', 'encoded']],
  UUID_SUB: [['ID_FS_UUID_SUB', 'safe'], ['ID_FS_UUID_SUB_ENC', 'encoded']],
  LABEL: [['ID_FS_LABEL', 'safe'], ['ID_FS_LABEL_ENC', 'encoded']],
  PTTYPE: [['ID_PART_TABLE_TYPE', 'value']],
  PTUUID: [['ID_PART_TABLE_UUID', 'value']],
  PART_ENTRY_NAME: [['ID_PART_ENTRY_NAME', 'encoded']],
  PART_ENTRY_TYPE: [['ID_PART_ENTRY_TYPE', 'encoded']],
  SYSTEM_ID: [['ID_FS_SYSTEM_ID', 'encoded']],
  PUBLISHER_ID: [['ID_FS_PUBLISHER_ID', 'encoded']],
  APPLICATION_ID: [['ID_FS_APPLICATION_ID', 'encoded']],
  BOOT_SYSTEM_ID: [['ID_FS_BOOT_SYSTEM_ID', 'encoded']],
  VOLUME_ID: [['ID_FS_VOLUME_ID', 'encoded']],
  LOGICAL_VOLUME_ID: [['ID_FS_LOGICAL_VOLUME_ID', 'encoded']],
  VOLUME_SET_ID: [['ID_FS_VOLUME_SET_ID', 'encoded']],
  DATA_PREPARER_ID: [['ID_FS_DATA_PREPARER_ID', 'encoded']],
};

/** Fails where libblkid is not installed, as a builtin that is not there. */
export const blkidBuiltin: Builtin = {
  name: 'blkid',
  help: 'Filesystem and partition probing',
  runOnce: true,
  run: async (context, argv) => {
    const { system, device } = context;
    const { options, ignored } = parseBuiltinCommand(argv, OPTIONS);
    const debug = (message: string): undefined => void system.log.debug({ code: 'blkid', message: `${device.devpath}: ${message}` });
    if (ignored.length > 0) debug(`ignoring ${ignored.join(' ')}`);
    const given = options.get('offset') ?? '';
    const offset = given === '' ? 0 : Number(given);
    if (!Number.isSafeInteger(offset) || offset < 0) return debug(`bad offset ${given}`);
    const { blkid } = await system.native();
    if (!blkid) return debug('libblkid.so.1 is not installed');
    if (device.devname === undefined) return debug('no device node');

    let fd: number;
    try {
      fd = await openNode(join(system.roots.dev, device.devname), constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      debug(messageOf(error));
      // A card reader without a card: nothing is wrong, and there is nothing to say.
      return isAbsent(error) ? new Map() : undefined;
    }
    try {
      const hint = options.get('hint');
      const result = await blkid.probe(fd, {
        offset, noRaid: options.has('noraid'), hints: hint === undefined ? [] : [hint], isCharacterDevice: device.devnum?.type === 'char',
      });
      return result ? propertiesOf(context, result) : debug(`${blkid.library} cannot probe it`);
    } finally {
      closeSync(fd);
    }
  },
};

function propertiesOf(context: BuiltinContext, result: BlkidResult): BuiltinOutcome {
  const properties = new Map<string, string>();
  const root = context.properties.get('ID_PART_GPT_AUTO_ROOT_UUID');
  for (const value of result.values) {
    addValue(value, properties);
    // The disk said so when it was probed, and its partitions import that.
    if (root !== undefined && value.name === 'PART_ENTRY_UUID' && value.value === root) properties.set('ID_PART_GPT_AUTO_ROOT', '1');
  }
  const autoRoot = gptAutoRoot(context.system, result.partitions);
  if (autoRoot !== undefined) properties.set('ID_PART_GPT_AUTO_ROOT_UUID', autoRoot);
  return properties;
}

function addValue(value: BlkidValue, properties: Map<string, string>): void {
  const { name } = value;
  if (Object.hasOwn(PROPERTIES, name)) {
    for (const [property, form] of PROPERTIES[name] ?? []) properties.set(property, value[form]);
  } else if (name.startsWith('PART_ENTRY_')) {
    properties.set(`ID_${name}`, value.value);
  }
}

/** ENXIO, ENODEV, ENOMEDIUM and their like. */
function isAbsent(error: unknown): boolean {
  return ['ENODEV', 'ENXIO', 'ENOENT', 'ENOMEDIUM'].includes(codeOf(error) ?? '');
}
