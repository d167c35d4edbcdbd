# The image of every container: a static shell, and mount points for the machine's programs.
set -eu
root=/run/lab/image
mkdir -p $root/bin $root/usr $root/etc $root/tmp $root/proc $root/sys $root/dev $root/run $root/var $root/root
cp "$(command -v busybox)" $root/bin/busybox
for applet in sh ls cat ip nc ping sleep timeout wc; do
    ln -s busybox $root/bin/$applet
done
for directory in sbin lib lib64; do
    ln -s usr/$directory $root/$directory
done
tar -C $root -cf /run/lab/image.tar .
rm -r $root
