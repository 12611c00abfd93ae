#!/usr/bin/env bash
# The generic tests of xfstests on Tidemark, or, to know what a correct FUSE filesystem passes, on libfuse's passthrough_ll.
# Run by hand, as root; docs/TESTING.md says what came out.
#
#   tests/suites/xfstests.sh [-t SECONDS] [-w DIR] [-p PASSTHROUGH_LL] XFSTESTS TIDEMARK [CHECK_ARGUMENT…]
#
# XFSTESTS          a compiled checkout of xfstests
# TIDEMARK          the program
# CHECK_ARGUMENT…   for its ./check, such as -g quick or generic/013; without any: -g auto
# -t SECONDS        a test that takes longer is ended, and fails (90)
# -w DIR            where volumes, mountpoints and results go (/var/tmp/tidemark-xfstests); results/ is what to read afterwards
# -p PASSTHROUGH_LL run on this program over DIR instead: writeback cache, everything cached, xattrs
set -euo pipefail

seconds_max=90
work=/var/tmp/tidemark-xfstests
passthrough=
usage() { sed -n '/^#   tests/,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 2; }
while getopts t:w:p:h option; do
  case $option in
    t) seconds_max=$OPTARG ;;
    w) work=$OPTARG ;;
    p) passthrough=$(readlink -e "$OPTARG") ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ $# -ge 2 ] || usage
[ "$(id -u)" -eq 0 ] || { echo "only root can mount, and become the users the tests need" >&2; exit 2; }
xfstests=$(readlink -e "$1")
tidemark=$(readlink -e "$2")
shift 2
[ -x "$xfstests/ltp/fsx" ] || { echo "$xfstests is not compiled: run make there" >&2; exit 2; }
[ $# -gt 0 ] || set -- -g auto

mkdir -p "$work"/{test,scratch,results}
work=$(readlink -e "$work")
mkdir -p "$work"/{source.test,source.scratch}

# --- what xfstests wants to find ---
for user in fsgqa fsgqa2 123456-fsgqa; do
  id "$user" >/dev/null 2>&1 || useradd --badname --create-home --user-group "$user"
done

# mount(8) finds a filesystem's helper in /sbin alone. Its name has our process in it: two runs do not disturb one another.
subtype=.tidemark-$$
helper=/sbin/mount.fuse$subtype
descendants() {
  local child
  for child in $(pgrep -P "$1"); do
    echo "$child"
    descendants "$child"
  done
}

check_process=
clean_up() {
  [ -z "$check_process" ] || kill "$check_process" $(descendants "$check_process") 2>/dev/null || true
  umount "$work/test" 2>/dev/null || true
  umount "$work/scratch" 2>/dev/null || true
  rm -f "$helper"
}
trap clean_up EXIT

# The helper is called with: SOURCE MOUNTPOINT [-s|-f|-n|-v] [-N NAMESPACE] [-o OPTIONS] [-t TYPE].
write_helper() {
  cat >"$helper" <<END
#!/usr/bin/env bash
source=\$1 mountpoint=\$2 options=
shift 2
while getopts sfnvN:o:t: option; do
  [ "\$option" != o ] || options=\$OPTARG
done
case ,\$options, in
  *,remount,*) exec mount -i -o "\$options" "\$mountpoint" ;;
esac
ulimit -n "\$(ulimit -Hn)"
END
  if [ -n "$passthrough" ]; then
    cat >>"$helper" <<END
exec "$passthrough" -ofsname="\$source" \
  -osource="$work/source.\${source##*.}",writeback,cache=always,xattr,allow_other,default_permissions\${options:+,\$options} "\$mountpoint"
END
  else
    cat >>"$helper" <<END
exec "$tidemark" mount "\$source" "\$mountpoint" \${options:+-o "\$options"}
END
  fi
  chmod +x "$helper"
}
write_helper

# xfstests asks df whether a mount is of type fuse, and takes no subtype for an answer; and it unmounts by the source, which
# umount(8) takes for a mountpoint when it is a directory.
mkdir -p "$work/bin"
cat >"$work/bin/df" <<END
#!/usr/bin/env bash
$(command -v df) "\$@" | sed 's/ fuse\.tidemark\>/ fuse/'
exit "\${PIPESTATUS[0]}"
END
cat >"$work/bin/umount" <<END
#!/usr/bin/env bash
words=()
for word; do
  case \$word in
    "$work/volume.test") word=$work/test ;;
    "$work/volume.scratch") word=$work/scratch ;;
  esac
  words+=("\$word")
done
exec $(command -v umount) "\${words[@]}"
END
chmod +x "$work"/bin/*
export PATH=$work/bin:$PATH

if [ -n "$passthrough" ]; then
  TEST_DEV=passthrough.test
  SCRATCH_DEV=passthrough.scratch
else
  TEST_DEV=$work/volume.test
  SCRATCH_DEV=$work/volume.scratch
  for volume in "$TEST_DEV" "$SCRATCH_DEV"; do
    [ -d "$volume" ] || "$tidemark" init "$volume" >&2
  done
fi
export TEST_DEV SCRATCH_DEV TEST_DIR=$work/test SCRATCH_MNT=$work/scratch
export FSTYP=fuse FUSE_SUBTYP=$subtype RESULT_BASE=$work/results MOUNT_OPTIONS='' TEST_FS_MOUNT_OPTS=''
unset FUSE_MOUNT_OPTIONS || true

# --- no test takes for ever ---
# The process of the test that runs now: a descendant of check called …/tests/generic/NNN.
running_test() {
  local process
  for process in $(descendants "$check_process"); do
    tr '\0' ' ' 2>/dev/null <"/proc/$process/cmdline" | grep -qE 'bash \S*tests/[a-z]+/[0-9]+ ' && { echo "$process"; return; }
  done
  return 0
}

end_slow_test() {
  local process seconds victims
  process=$(running_test)
  [ -n "$process" ] || return 0
  seconds=$(ps -o etimes= -p "$process" || echo 0)
  [ "$seconds" -gt "$seconds_max" ] || return 0
  echo "ending after $seconds s: $(tr '\0' ' ' 2>/dev/null <"/proc/$process/cmdline")" >&2
  victims=$(descendants "$process")
  kill "$process" $victims 2>/dev/null || true
  sleep 5
  kill -9 "$process" $victims 2>/dev/null || true
}

cd "$xfstests"
./check "$@" </dev/null &
check_process=$!
while kill -0 "$check_process" 2>/dev/null; do
  end_slow_test
  sleep 2
done
result=0
wait "$check_process" || result=$?
check_process=
exit "$result"
