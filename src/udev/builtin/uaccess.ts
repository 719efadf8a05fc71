// The builtin uaccess: access to a device for the user at its seat. There is no logind here, and so no such user.

import type { Builtin } from './builtin.ts';

/**
 * Fails, as a builtin that is not there: RUN{builtin}+="uaccess" then does nothing, and the group of the node decides. To know the
 * user of a seat takes logind, and systems with logind have systemd's udev.
 */
export const uaccessBuiltin: Builtin = {
  name: 'uaccess',
  help: 'Manage device node user ACL',
  runOnce: false,
  run: ({ system, device }) => {
    system.log.debug({ code: 'uaccess', message: `${device.devpath}: no logind, hence no ACL` });
    return undefined;
  },
};
