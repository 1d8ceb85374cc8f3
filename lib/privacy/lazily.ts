/** A pattern that is made when it is first asked for: to read one with Unicode's letters takes a while. */
export function lazily(source: string, flags: string): () => RegExp {
  let made: RegExp | undefined
  return () => (made ??= new RegExp(source, flags))
}
