#!/bin/sh
# Before udevd would start: what leads to the root, or all devices.
/usr/lib/tsmodprobe/start "$root"
