/** A random key of 128 bits. `crypto.randomUUID` is not there on plain HTTP, which a LAN address is. */
export function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
