// A link /dev/backup for the newest of the disks that are called so, and a program that is told.

/** @type {import('tsmodprobe').DeviceRule} */
export const rule = (device, { action, properties }) => {
  if (action === 'remove' || device.subsystem !== 'block') return undefined;
  const label = properties.get('ID_FS_LABEL') ?? '';
  const year = /^backup-(\d{4})$/.exec(label)?.[1];
  if (year === undefined) return undefined;
  return {
    properties: { BACKUP_YEAR: year },
    symlinks: ['backup', `backup/${year}`],
    mode: 0o600,
    options: { linkPriority: Number(year) },
    ...(action === 'add' && { run: [`backup-disk ${device.sysname}`] }),
  };
};
