#!/bin/sh
# Before the first hook that loads a module.
/usr/lib/tsmodprobe/prepare
