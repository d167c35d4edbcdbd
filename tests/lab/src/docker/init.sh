# Process 1 of a lab, in its own pid, mount and network namespace. $1: the lab's name.
# Everything that it mounts, and every file that the lab writes, is on its own tmpfs and ends with it.
set -eu

# The pid by which the test knows this process: read before /proc is the lab's own.
read -r pid _ </proc/self/stat
mount -t proc proc /proc

# A private /run: names of network namespaces, docker's sockets and iptables' lock are nobody else's.
mount -t tmpfs -o mode=755 "$1" /run
mkdir -p /run/lock /run/netns /run/tmp /run/lab/home /run/lab/netns /run/lab/sys

# dockerd writes its key into /etc/docker and reads a daemon.json there, and containerd makes /opt/containerd.
for directory in etc opt; do
    mkdir -p "/run/lab/$directory/new" "/run/lab/$directory/work"
    mount -t overlay -o "lowerdir=/$directory,upperdir=/run/lab/$directory/new,workdir=/run/lab/$directory/work" \
        "$1" "/$directory"
done
rm -rf /etc/docker /etc/containerd
mkdir /etc/docker
# Else it may be a link into the /run that is hidden now. The server has no DNS: it refuses at once.
rm -f /etc/resolv.conf
echo nameserver 203.0.113.1 >/etc/resolv.conf

# /sys shows the links of the namespace that it was mounted in, so mount it again, and keep the cgroups.
mount --rbind /sys/fs/cgroup /run/lab/sys
mount -t sysfs sysfs /sys
mount --move /run/lab/sys /sys/fs/cgroup

ip link set lo up
echo "$pid"
exec >&-

# Until the test closes its end, or dies. A shell that waits for a child also reaps orphans, as process 1 must.
cat >/dev/null
