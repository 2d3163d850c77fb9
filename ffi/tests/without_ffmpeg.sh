#!/usr/bin/env bash
# Runs a command on this machine as it would be without FFmpeg: without_ffmpeg.sh COMMAND [ARGUMENT]...
# The command sees /usr without FFmpeg's programs, libraries, headers and pkg-config files. Only the command: it has a mount
# namespace of its own, in which /usr is a layer over the machine's. Exit code 77: such a namespace is not allowed here.
set -euo pipefail
not_here() { echo "without_ffmpeg: $*" >&2; exit 77; }

if [ "${1:-}" != --inside ]; then
    self=$(realpath "$0")
    # As root, or as the root of a user namespace.
    for how in -m -Urm; do
        if unshare "$how" true 2>/dev/null; then
            exec unshare "$how" bash "$self" --inside "$@"
        fi
    done
    not_here "mount namespaces are not allowed"
fi
shift
scratch=$(mktemp -d)
mount -t tmpfs none "$scratch" 2>/dev/null || not_here "no file system may be mounted"
upper=$scratch/upper
mkdir -p "$upper" "$scratch/work"
of_ffmpeg() {
    find /usr/bin /usr/include /usr/lib /usr/lib64 /usr/local \( -name ffmpeg -o -name ffprobe -o -name ffplay -o -name 'libavcodec*' \
        -o -name 'libavformat*' -o -name 'libavutil*' -o -name 'libavfilter*' -o -name 'libavdevice*' -o -name 'libswscale*' \
        -o -name 'libswresample*' -o -name 'libpostproc*' \) -prune -print0 2>/dev/null || true
}
# A character device 0:0 in the layer above says that what is below is not there.
while IFS= read -r -d '' path; do
    mkdir -p "$upper/$(dirname "${path#/usr/}")"
    mknod "$upper/${path#/usr/}" c 0 0 2>/dev/null || not_here "no file may be hidden"
done < <(of_ffmpeg)
options=lowerdir=/usr,upperdir=$upper,workdir=$scratch/work
mount -t overlay none -o "$options" /usr 2>/dev/null || mount -t overlay none -o "$options,userxattr" /usr 2>/dev/null ||
    not_here "no layer may be mounted over /usr"
# The mounted layer keeps what it needs of it.
umount -l "$scratch" && rmdir "$scratch"
exec "$@"
