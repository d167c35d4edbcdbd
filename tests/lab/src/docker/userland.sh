# What programs a dockerd may be of, and may find: each is mounted over `/usr`, or put before it in PATH.
# $1: Debian trixie, if that was made.
set -eu
mkdir -p /run/lab/usr/machine /run/lab/usr/trixie /run/lab/legacy
mount --rbind /usr /run/lab/usr/machine
[ -z "$1" ] || mount --bind "$1/usr" /run/lab/usr/trixie
for program in iptables ip6tables; do
    for suffix in '' -save -restore; do
        ln -s /usr/sbin/xtables-legacy-multi /run/lab/legacy/$program$suffix
    done
done
# A dockerd with mounts of its own has this one in common, if it is to be the node's.
mount --make-shared /run
