/** A zip archive of stored files, as PyTorch makes them, for tests that damage it. */
export function zip(files: Record<string, Uint8Array | string>): Buffer {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const [name, contents] of Object.entries(files)) {
    const data = Buffer.from(contents)
    const title = Buffer.from(name)
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50)
    const central = Buffer.alloc(46)
    central.writeUInt32LE(0x02014b50)
    for (const [header, at] of [
      [local, 18],
      [central, 20],
    ] as const) {
      header.writeUInt32LE(data.length, at)
      header.writeUInt32LE(data.length, at + 4)
      header.writeUInt16LE(title.length, at + 8)
    }
    central.writeUInt32LE(offset, 42)
    parts.push(local, title, data)
    directory.push(central, title)
    offset += 30 + title.length + data.length
  }
  const list = Buffer.concat(directory)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50)
  end.writeUInt16LE(directory.length / 2, 8)
  end.writeUInt16LE(directory.length / 2, 10)
  end.writeUInt32LE(list.length, 12)
  end.writeUInt32LE(offset, 16)
  return Buffer.concat([...parts, list, end])
}
