# Shared by the scripts of this folder, which source it: the repository's root, the cache, steps with timings, builds.
# shellcheck shell=bash disable=SC2034  # what is unused here is used there

SCRIPT=$(realpath "$0")
CALLER_FOLDER=$PWD # a script's file arguments are relative to it
ROOT=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
cd "$ROOT" || exit
JOBS=${JOBS:-$(nproc)}
CACHE=${D2DEPLOY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/d2deploy} # what is made once for all checkouts

# Checkouts in different folders share what is compiled already: paths below the root are taken as relative ones, and
# nvcc, which each checkout installs anew, is known by its content instead of its time.
if command -v ccache >/dev/null; then
  export CMAKE_C_COMPILER_LAUNCHER=${CMAKE_C_COMPILER_LAUNCHER:-ccache}
  export CMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER:-ccache}
  export CMAKE_CUDA_COMPILER_LAUNCHER=${CMAKE_CUDA_COMPILER_LAUNCHER:-env;CCACHE_COMPILERCHECK=content;ccache}
  export CCACHE_BASEDIR=$ROOT CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros
fi

say() { printf '\n== %s\n' "$*"; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# A script's help is the comment at its top.
usage() { sed -n '2,${/^#/!q;s/^# \{0,1\}//p}' "$SCRIPT"; }

# timed NAME COMMAND...: announces a step, runs it, says how long it took; its exit status is the command's. A function
# is left at its first command that fails only where `timed` stands alone, not before || or after if: then join its
# commands by &&.
timed() {
  local status
  step_name=$1 step_start=$SECONDS
  shift
  say "$step_name"
  trap 'say_failed $?' EXIT
  "$@"
  status=$?
  trap - EXIT
  if [ "$status" -eq 0 ]; then
    printf -- '-- %s: done in %d s\n' "$step_name" $((SECONDS - step_start))
  else
    say_failed "$status"
  fi
  return "$status"
}

say_failed() { printf -- '-- %s: FAILED with status %d after %d s\n' "$step_name" "$1" $((SECONDS - step_start)); }

# build PRESET [TARGET...]: configures, then builds all targets or the named ones, into build/PRESET.
build() {
  local preset=$1
  shift
  cmake --preset "$preset" && cmake --build --preset "$preset" --parallel "$JOBS" ${1:+--target "$@"}
}

# install_debian_packages PACKAGE...: those that are missing, as root or with sudo.
install_debian_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "No Debian packages here. Install the like of: $*"
    return
  fi
  local package missing=() as_root=()
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "not root, and no sudo. As root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "Installing Debian packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    -o Dpkg::Use-Pty=0 "${missing[@]}" || die "apt-get failed (its message is above)"
}

# bare_debian: makes BARE_DEBIAN, the folder of a Debian 12 that has Python and nothing else, where it is not there yet
# (290 MB, by debootstrap, as root). Whoever changes something in it works on a copy, or puts it back.
BARE_DEBIAN=$CACHE/bare-bookworm
bare_debian() {
  [ ! -e "$BARE_DEBIAN/complete" ] || return 0
  rm -rf "$BARE_DEBIAN"
  mkdir -p "$CACHE"
  debootstrap --variant=minbase --include=python3 bookworm "$BARE_DEBIAN" >"$CACHE/debootstrap.txt" || return 1
  touch "$BARE_DEBIAN/complete"
}
