#!/bin/busybox sh
# First program of the guest. It stays in the initramfs, lays the host's root
# (read-only, over 9p) under a tmpfs overlay as the root of everything else, runs
# /command there, and sends stdout, stderr and the exit status to three ports.
# Each stream ends with /mark, so that the host knows it has all of it.
export PATH=/bin
fail() { echo "uepoll-vm: $1" >/dev/console; poweroff -f; }
tree() { # the kernel's own file systems, under the folder $1
	mount -t proc proc "$1/proc" && mount -t sysfs sysfs "$1/sys" &&
		mount -t devtmpfs devtmpfs "$1/dev"
}
tree "" || fail "proc, sysfs or devtmpfs is not in this kernel"
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose hostroot /host ||
	fail "the host's root cannot be mounted: this kernel needs 9p over virtio"
mount -t tmpfs -o mode=755 tmpfs /rw && mkdir /rw/upper /rw/work &&
	mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work overlay /root ||
	fail "the overlay cannot be mounted: this kernel needs OVERLAY_FS and TMPFS"
tree /root
mkdir -p /root/dev/pts /root/dev/shm /root/run
mount -t devpts -o ptmxmode=666,mode=620,gid=5 devpts /root/dev/pts
ln -s /proc/self/fd /root/dev/fd
for n in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${n%:*}" "/root/dev/${n#*:}"; done
mount -t tmpfs -o mode=755 tmpfs /root/run
mount -t tmpfs -o mode=1777 tmpfs /root/dev/shm
# A kernel without one of these still runs commands: what needs it will say so.
mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
mount -t bpf bpf /root/sys/fs/bpf
mount -t debugfs debugfs /root/sys/kernel/debug
mount -t tracefs tracefs /root/sys/kernel/tracing
mount -t securityfs securityfs /root/sys/kernel/security
. /share # mounts the shared folder, or fails
ip link set lo up
hostname uepoll-vm
mkdir /root/run/uepoll-vm && cp /command /root/run/uepoll-vm/command
cd /root && mount --move . / || fail "the new root cannot take the place of the old"

# The ports' names arrive some time after the device.
while [ ! -e /port-stdout ] || [ ! -e /port-stderr ] || [ ! -e /port-status ]; do
	for port in /sys/class/virtio-ports/*; do
		[ -r "$port/name" ] && read -r name <"$port/name" && [ -n "$name" ] &&
			[ ! -e "/port-$name" ] && ln -s "/dev/${port##*/}" "/port-$name"
	done
	usleep 5000
done
mkfifo /stdout /stderr
cat /stdout /mark >/port-stdout &
relay_out=$!
cat /stderr /mark >/port-stderr &
relay_err=$!
exec 3>/port-status
echo started >&3
# In the foreground: a shell starts background jobs with SIGINT ignored.
. /run-command
status=$?
# What CMD left running would keep the streams open.
for process in /proc/[0-9]*; do
	case ${process#/proc/} in 1 | $relay_out | $relay_err) ;; *) kill -9 "${process#/proc/}" ;; esac
done 2>/dev/null
wait "$relay_out" "$relay_err"
echo "exit $status" >&3
# The host ends the machine once it has read everything.
while :; do sleep 1000; done
