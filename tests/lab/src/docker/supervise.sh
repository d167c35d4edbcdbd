# Outside of the lab: starts it, and removes the only thing that does not end with its namespaces.
# $1: the lab's name, $2: init.sh. The kernel ends the lab's processes when its process 1 ends, and `unshare`
# returns only when all of them are gone, so the control groups are empty by then.
unshare --fork --pid --kill-child --mount --net --propagation private sh -c "$2" lab-init "$1"
status=$?
for group in "/sys/fs/cgroup/$1" /sys/fs/cgroup/*/"$1"; do
    if [ -d "$group" ]; then
        find "$group" -depth -type d -exec rmdir {} +
    fi
done
exit $status
