#!/usr/bin/env bash
# Runs make targets in a fresh clone on a machine that has Python, make, git and the basic tools of a Linux, and nothing
# else: no java, mvn, docker or node on PATH, an empty HOME (so empty caches), no folder beside the clone.
#
#   tests/long/clean_machine.sh              make demo
#   tests/long/clean_machine.sh setup test   make setup, then make test
#
# Exits with the first failing target's code. KEEP=1 leaves the folder, whose name is printed first.
set -euo pipefail
[ $# -gt 0 ] || set -- demo
source=$(cd "$(dirname "$0")/../.." && pwd)
machine=$(mktemp -d "${TMPDIR:-/tmp}/o2c-clean-machine.XXXXXX")
[ -n "${KEEP:-}" ] || trap 'rm -rf "$machine"' EXIT
echo "clean machine in $machine"

mkdir "$machine/bin" "$machine/home" "$machine/tmp"
for tool in awk basename bash cat chmod chown cmp cp cut date dd df diff dirname echo env expr false find git grep gzip \
    head id install kill ln ls make mkdir mktemp mv nice nproc printf ps pwd readlink realpath rm rmdir sed seq sh sleep \
    sort stat tail tar tee test timeout touch tr true tty uname uniq wc which xargs; do
    if found=$(type -P "$tool"); then ln -s "$found" "$machine/bin/$tool"; fi
done
python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')
ln -s "$python" "$machine/bin/python3"
git clone --quiet "$source" "$machine/o2c"

# How this machine reaches package indexes is not part of what is tested, so certificates, proxies and pip's settings stay.
keep=(PATH="$machine/bin" HOME="$machine/home" TMPDIR="$machine/tmp" LANG=C.UTF-8)
while IFS= read -r -d '' setting; do
    case $setting in
    PIP_*=* | SSL_CERT_*=* | REQUESTS_CA_BUNDLE=* | *_proxy=* | *_PROXY=*) keep+=("$setting") ;;
    esac
done < <(env -0)

cd "$machine/o2c"
for target in "$@"; do
    began=$SECONDS
    code=0
    env -i "${keep[@]}" make "$target" || code=$?
    echo "make $target: exit code $code after $((SECONDS - began)) s"
    [ "$code" -eq 0 ] || exit "$code"
done
