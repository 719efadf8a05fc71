// The signature appended to a module file: who made it, with which key and digest. It is read, not verified.

import { FormatError } from '../errors.ts';
import { parseCmsSigner } from './cms.ts';

export type ModuleSignature = {
  readonly id: 'PGP' | 'X509' | 'PKCS#7';
  /** Common name of the certificate's issuer; '' where the signature names none. */
  readonly signer: string;
  /** Serial number of the certificate, or the identifier of its key. */
  readonly keyId: Uint8Array;
  /** `sha256`; `unknown` for a signature that cannot be read. */
  readonly hashAlgorithm: string;
  /** `rsa`, `ecdsa-sha256`, …; undefined where the signature does not say. */
  readonly algorithm: string | undefined;
  readonly signature: Uint8Array;
};

/** include/linux/module_signature.h: MODULE_SIG_STRING. */
const MODULE_SIG_STRING = '~Module signature appended~\n';

/*
 * struct module_signature, include/linux/module_signature.h, between the signature and MODULE_SIG_STRING:
 *   0 algo  1 hash  2 id_type  3 signer_len  4 key_id_len  5 pad[3]  8 sig_len (big-endian)
 * The old types have the signer's name and key id before the signature.
 */
const STRUCT_SIZE = 12;
const ID_TYPES = ['PGP', 'X509', 'PKCS#7'] as const;
/** Numbers in `algo` and `hash` of the old types (include/crypto/public_key.h of Linux 3.7, uapi/linux/hash_info.h). */
const ALGORITHMS = ['DSA', 'RSA'];
const HASHES = ['md4', 'md5', 'sha1', 'rmd160', 'sha256', 'sha384', 'sha512', 'sha224', 'sm3'];

/** What the end of a module says; undefined for a module that is not signed. Never throws: an unreadable signature is one, too. */
export function readSignature(image: Uint8Array, file: string): ModuleSignature | undefined {
  const trailer = readTrailer(image);
  if (!trailer) return undefined;
  const { id, algorithm, hash, signerAt, keyIdAt, signatureAt, structAt } = trailer;
  // Copies: the image may be a buffer that is used again, and is large.
  const signature = copyOf(image, signatureAt, structAt);
  if (id === 'PKCS#7') return fromCms(signature, file, signatureAt);
  const signer = Buffer.from(image.subarray(signerAt, keyIdAt)).toString('utf8');
  return { id, signer, keyId: copyOf(image, keyIdAt, signatureAt), hashAlgorithm: hash, algorithm, signature };
}

/** Bytes of the module without its signature: all of them where there is none. */
export function unsignedSize(image: Uint8Array): number {
  return readTrailer(image)?.signerAt ?? image.length;
}

type Trailer = {
  readonly id: ModuleSignature['id'];
  readonly algorithm: string;
  readonly hash: string;
  readonly signerAt: number;
  readonly keyIdAt: number;
  readonly signatureAt: number;
  readonly structAt: number;
};

function readTrailer(image: Uint8Array): Trailer | undefined {
  const structAt = image.length - MODULE_SIG_STRING.length - STRUCT_SIZE;
  if (structAt < 0 || !isMarked(image)) return undefined;
  const [algo = 0, hashNumber = 0, idType = 0, signerLength = 0, keyIdLength = 0] = image.subarray(structAt, structAt + STRUCT_SIZE);
  const signatureLength = new DataView(image.buffer, image.byteOffset + structAt, STRUCT_SIZE).getUint32(8);
  const [id, algorithm, hash] = [ID_TYPES[idType], ALGORITHMS[algo], HASHES[hashNumber]];
  const signatureAt = structAt - signatureLength;
  const keyIdAt = signatureAt - keyIdLength;
  const signerAt = keyIdAt - signerLength;
  if (id === undefined || algorithm === undefined || hash === undefined || signatureLength === 0 || signerAt < 0) return undefined;
  return { id, algorithm, hash, signerAt, keyIdAt, signatureAt, structAt };
}

function isMarked(image: Uint8Array): boolean {
  return Buffer.from(image.buffer, image.byteOffset, image.length).toString('latin1', image.length - MODULE_SIG_STRING.length) === MODULE_SIG_STRING;
}

function fromCms(bytes: Uint8Array, file: string, offset: number): ModuleSignature {
  try {
    const { issuer, keyId, digest, signatureAlgorithm, signature } = parseCmsSigner(bytes, file, offset);
    return { id: 'PKCS#7', signer: issuer, keyId, hashAlgorithm: digest, algorithm: signatureAlgorithm, signature };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    // Signed all the same: whoever looks shall see that, as the newest kmod shows it.
    const none = new Uint8Array(0);
    return { id: 'PKCS#7', signer: '', keyId: none, hashAlgorithm: 'unknown', algorithm: undefined, signature: none };
  }
}

/** Buffer's own slice() would be a view. */
function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return Uint8Array.from(bytes.subarray(start, end));
}
