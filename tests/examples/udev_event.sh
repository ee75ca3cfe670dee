# What udev does with a serial port of a USB interface: udev_event.sh RULES INTERFACE. To be run by `unshare -m`: all that
# it writes is in memory, and gone at its end.
set -e
mount -t tmpfs none /etc/udev/rules.d
cp "$1" /etc/udev/rules.d/70-getnet.rules
echo "KERNEL==\"tty63\", ENV{ID_VENDOR_ID}=\"2fb8\", ENV{ID_USB_INTERFACE_NUM}=\"$2\"" >/etc/udev/rules.d/69-device.rules
mount -t tmpfs none /run
mkdir /run/dev
mknod /run/dev/null c 1 3
mknod /run/dev/tty63 c 4 63
mount --bind /run/dev /dev
udevadm test --action=add /sys/class/tty/tty63 2>&1
stat --format="%N %G %a" /dev/tty63 /dev/getnet-pos 2>/dev/null || true
