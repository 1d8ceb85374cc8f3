#!/usr/bin/env bash
# Makes a folder with compilers for linux-x64 and linux-arm64 whose C library is old (Debian 11: glibc 2.31), so that
# what they build runs on every distribution of the last years. Needs apt, but neither root nor a chroot: the
# packages are unpacked, not installed, and GCC finds its parts relative to itself. musl's loader comes along, to
# try what is built for it.
#
#   scripts/sysroot.sh build/sysroot     then build/sysroot/bin/x86_64-linux-gnu-g++, aarch64-linux-gnu-g++, *-strip
set -euo pipefail

mkdir -p "${1:?the folder to make}"
folder=$(cd "$1" && pwd)
root=$folder/root
suite=bullseye
[ -e "$folder/complete" ] && exit 0
command -v apt-get >/dev/null || { echo 'scripts/sysroot.sh needs apt-get' >&2; exit 1; }

# An apt of its own: the machine's sources and lists stay as they are, but its mirror is used.
apt=$folder/apt
rm -rf "$apt" "$root" "$folder/bin" "$folder/lib"
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$root" "$folder/bin" "$folder/lib"
mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | head -n 1)
[ -n "$mirror" ] || { echo 'apt knows no mirror: run apt-get update first' >&2; exit 1; }
echo "deb $mirror $suite main" >"$apt/sources.list"
: >"$apt/status"
cat >"$apt/apt.conf" <<EOF
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
APT::Architecture "amd64";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
EOF
export APT_CONFIG=$apt/apt.conf
apt-get update -qq
# Only to fetch: what these depend on comes along, and most of it (perl, kerberos) is left out below.
apt-get install -y -qq --download-only g++-10 g++-10-aarch64-linux-gnu musl >/dev/null

for package in "$apt"/cache/archives/*.deb; do
  case $(basename "$package") in
    binutils* | libbinutils* | libctf* | gcc-10* | g++-10* | cpp-10* | libgcc* | libstdc++* | libc6* | linux-libc-dev* | \
      libmpc3* | libmpfr6* | libisl23* | libgmp10* | zlib1g* | libzstd1* | musl_*) dpkg-deb -x "$package" "$root" ;;
  esac
done
rm -rf "$apt/cache" "$apt/state"

# Links that start at the root mean this root.
find "$root" -type l -lname '/*' | while read -r link; do
  ln -sfn "$root$(readlink "$link")" "$link"
done

# The compilers run on this machine's C library, with the libraries that came with them.
for name in mpc mpfr isl gmp z zstd bfd opcodes ctf; do
  find "$root/usr/lib/x86_64-linux-gnu" "$root/lib/x86_64-linux-gnu" -name "lib$name[-.]*so*" \
    -exec ln -sf {} "$folder/lib/" \;
done
for triple in x86_64-linux-gnu aarch64-linux-gnu; do
  mkdir -p "$folder/tools/$triple"
  for tool in as ld ld.bfd; do ln -sf "$root/usr/bin/$triple-$tool" "$folder/tools/$triple/$tool"; done
  for tool in gcc g++; do
    cat >"$folder/bin/$triple-$tool" <<EOF
#!/bin/sh
export LD_LIBRARY_PATH='$folder/lib'
exec '$root/usr/bin/$triple-$tool-10' --sysroot='$root' -B'$folder/tools/$triple/' "\$@"
EOF
  done
  for tool in strip objdump ar; do
    cat >"$folder/bin/$triple-$tool" <<EOF
#!/bin/sh
export LD_LIBRARY_PATH='$folder/lib'
exec '$root/usr/bin/$triple-$tool' "\$@"
EOF
  done
done
chmod +x "$folder"/bin/*
touch "$folder/complete"
