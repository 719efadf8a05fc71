// Signatures as scripts/sign-file appends them to modules, made from what they should say.

/** A DER element. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(content.length);
  const length = octets.subarray(octets.findIndex((octet) => octet !== 0));
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, content]);
}

/** `2.5.4.3` */
export function oid(text: string): Buffer {
  const [first = 0, second = 0, ...arcs] = text.split('.').map(Number);
  const octets = [first * 40 + second, ...arcs].flatMap((arc) => {
    const digits = [arc & 0x7f];
    for (let rest = arc >>> 7; rest > 0; rest >>>= 7) digits.unshift(0x80 | (rest & 0x7f));
    return digits;
  });
  return der(0x06, Buffer.from(octets));
}

export type CmsSpec = {
  /** Attributes of the issuer: object identifier, tag of the string, bytes. */
  readonly issuer?: readonly (readonly [type: string, tag: number, value: Uint8Array])[];
  readonly serial?: Uint8Array;
  /** Names the signer by its key instead. */
  readonly subjectKeyIdentifier?: Uint8Array;
  readonly digest?: string;
  readonly algorithm?: string;
  readonly signature?: Uint8Array;
  readonly contentType?: string;
  /** Certificates, revocation lists and signed attributes, which sign-file leaves out. */
  readonly extras?: boolean;
};

export const COMMON_NAME = '2.5.4.3';
export const SHA256 = '2.16.840.1.101.3.4.2.1';
export const RSA = '1.2.840.113549.1.1.1';
export const ECDSA_SHA256 = '1.2.840.10045.4.3.2';

/** A ContentInfo with one SignedData with one signer. */
export function cms(spec: CmsSpec = {}): Buffer {
  const { issuer = [[COMMON_NAME, 0x0c, Buffer.from('Test key')]], serial = Buffer.from([0x15, 0xfd]), extras = false } = spec;
  const name = der(0x30, ...issuer.map(([type, tag, value]) => der(0x31, der(0x30, oid(type), der(tag, value)))));
  const sid = spec.subjectKeyIdentifier ? der(0x80, spec.subjectKeyIdentifier) : der(0x30, name, der(0x02, serial));
  const algorithm = (identifier: string) => der(0x30, oid(identifier), der(0x05));
  const digest = algorithm(spec.digest ?? SHA256);
  const signer = der(0x30, der(0x02, Buffer.from([1])), sid, digest, ...(extras ? [der(0xa0, der(0x30))] : []),
    algorithm(spec.algorithm ?? RSA), der(0x04, spec.signature ?? Buffer.from([1, 2, 3])), ...(extras ? [der(0xa1, der(0x30))] : []));
  const signed = der(0x30, der(0x02, Buffer.from([1])), der(0x31, digest), der(0x30, oid('1.2.840.113549.1.7.1')),
    ...(extras ? [der(0xa0, der(0x30)), der(0xa1, der(0x30))] : []), der(0x31, signer));
  return der(0x30, oid(spec.contentType ?? '1.2.840.113549.1.7.2'), der(0xa0, signed));
}

export type TrailerSpec = {
  readonly algo?: number;
  readonly hash?: number;
  readonly idType?: number;
  readonly signer?: Uint8Array;
  readonly keyId?: Uint8Array;
  readonly signatureLength?: number;
};

/** The module with a signature of this content behind it. */
export function signed(module: Uint8Array, signature: Uint8Array, spec: TrailerSpec = {}): Buffer {
  const { algo = 0, hash = 0, idType = 2, signer = Buffer.alloc(0), keyId = Buffer.alloc(0) } = spec;
  const struct = Buffer.alloc(12);
  struct.set([algo, hash, idType, signer.length, keyId.length]);
  struct.writeUInt32BE(spec.signatureLength ?? signature.length, 8);
  return Buffer.concat([module, signer, keyId, signature, struct, Buffer.from('~Module signature appended~\n')]);
}
