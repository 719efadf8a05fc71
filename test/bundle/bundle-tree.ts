// A small tree of modules for the tests of bundles, as files below a root.

import { buildModule } from '../kmod/elf-builder.ts';

export const RELEASE = '6.12.0-test';

/** `base` is needed by all others, `big` by nobody; `soft` by a softdep of `top`. */
export const MODULES = {
  'kernel/base.ko': buildModule({ modinfo: ['license=GPL', `vermagic=${RELEASE} SMP`], exports: [{ name: 'base_call', crc: 1 }] }),
  'kernel/drivers/big.ko': Buffer.concat([buildModule({ modinfo: ['alias=pci:v00001AF4d*', `vermagic=${RELEASE} SMP`] }), Buffer.alloc(2_500_000, 'noise')]),
  'kernel/drivers/top.ko': buildModule({ modinfo: ['alias=of:top', 'softdep=pre: soft', 'firmware=top/blob.bin'], needs: [{ name: 'base_call' }] }),
  'kernel/soft.ko': buildModule({ modinfo: ['description=soft'] }),
  'updates/vendor.ko': buildModule({ needs: [{ name: 'base_call' }] }),
} as const;

const TREE = `lib/modules/${RELEASE}`;

export const TREE_FILES: Readonly<Record<string, string | Uint8Array>> = {
  ...Object.fromEntries(Object.entries(MODULES).map(([path, bytes]) => [`${TREE}/${path}`, bytes])),
  [`${TREE}/modules.order`]: 'kernel/soft.ko\nkernel/base.ko\nkernel/drivers/top.ko\n',
  [`${TREE}/modules.builtin`]: 'kernel/fs/ext4/ext4.ko\n',
  [`${TREE}/modules.builtin.modinfo`]: 'ext4.alias=fs-ext4\0ext4.license=GPL\0',
};
