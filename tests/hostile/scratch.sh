#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs "hostile try" as root in namespaces of its own (by unshare), on a copy of the root that is thrown away:
# here every attempt must reach what it is after.  usage: scratch.sh TOP PROGRAM RUN CANARY [only=NAME]
set -e
top=$1; program=$2; run=$3; canary=$4; only=${5:-}
mount -t tmpfs none "$top"
mkdir "$top"/up "$top"/work "$top"/root
mount -t overlay -o lowerdir=/,upperdir="$top"/up,workdir="$top"/work none "$top"/root
cd "$top"/root
mount -t proc none proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs none tmp
mount -t tmpfs none dev/shm
mount -t tmpfs none mnt
mkdir mnt/run
mount --bind "$run" mnt/run
mount --bind usr usr
mount -o remount,bind,ro usr
cp "$program" tmp/hostile
mkfifo tmp/hold tmp/ready
mkdir tmp/old
pivot_root . tmp/old
umount -l /tmp/old
ip link set lo up
ulimit -n "$(ulimit -Hn)"
SECRET=vpclab-hostile-victim /tmp/hostile victim 7777 <>/tmp/hold 2>/tmp/ready &
v=$!
read -r _ < /tmp/ready
/tmp/hostile try canary="$canary" pid="$v" port=7777 run=/mnt/run ${only:+"$only"}
kill "$v"
