// Who signed a CMS (PKCS#7) message, and how: the first SignerInfo of a SignedData, as RFC 5652 lays it out.

import { FormatError } from '../errors.ts';
import {
  DER_BMP_STRING, DER_CONTEXT_0, DER_CONTEXT_0_CONSTRUCTED, DER_CONTEXT_1_CONSTRUCTED, DER_INTEGER, DER_OBJECT_IDENTIFIER, DER_OCTET_STRING,
  DER_SEQUENCE, DER_SET, DerReader, integerMagnitude, objectIdentifier,
} from './der.ts';
import type { DerElement } from './der.ts';

/** What a SignerInfo says. Nothing is verified. */
export type CmsSigner = {
  /** The common name of the certificate's issuer; '' where the signer is named by its key only. */
  readonly issuer: string;
  /** The serial number of the certificate, or the identifier of its key where the signer is named by that. */
  readonly keyId: Uint8Array;
  /** OpenSSL's long name (`sha256`), or the object identifier where we know no name. */
  readonly digest: string;
  readonly signatureAlgorithm: string;
  /** RSA: the encrypted digest; ECDSA: a DER sequence of r and s. */
  readonly signature: Uint8Array;
};

/** Names that an issuer may have (attributes of it) before we stop looking for its common name. */
const MAX_NAME_ATTRIBUTES = 64;

const SIGNED_DATA = '1.2.840.113549.1.7.2';
const COMMON_NAME = '2.5.4.3';

/** Digests that sign-file can use (scripts/sign-file.c takes any of OpenSSL's). */
const DIGESTS: Readonly<Record<string, string>> = {
  '1.2.840.113549.2.4': 'md4',
  '1.2.840.113549.2.5': 'md5',
  '1.3.14.3.2.26': 'sha1',
  '1.3.36.3.2.1': 'ripemd160',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
  '2.16.840.1.101.3.4.2.4': 'sha224',
  '2.16.840.1.101.3.4.2.5': 'sha512-224',
  '2.16.840.1.101.3.4.2.6': 'sha512-256',
  '2.16.840.1.101.3.4.2.7': 'sha3-224',
  '2.16.840.1.101.3.4.2.8': 'sha3-256',
  '2.16.840.1.101.3.4.2.9': 'sha3-384',
  '2.16.840.1.101.3.4.2.10': 'sha3-512',
  '2.16.840.1.101.3.4.2.11': 'shake128',
  '2.16.840.1.101.3.4.2.12': 'shake256',
  '1.2.156.10197.1.401': 'sm3',
  '1.2.643.7.1.1.2.2': 'md_gost12_256',
  '1.2.643.7.1.1.2.3': 'md_gost12_512',
};

const SIGNATURES: Readonly<Record<string, string>> = {
  '1.2.840.113549.1.1.1': 'rsa',
  '1.2.840.113549.1.1.5': 'rsa-sha1',
  '1.2.840.113549.1.1.10': 'rsa-pss',
  '1.2.840.113549.1.1.11': 'rsa-sha256',
  '1.2.840.113549.1.1.12': 'rsa-sha384',
  '1.2.840.113549.1.1.13': 'rsa-sha512',
  '1.2.840.10045.2.1': 'ecdsa',
  '1.2.840.10045.4.1': 'ecdsa-sha1',
  '1.2.840.10045.4.3.2': 'ecdsa-sha256',
  '1.2.840.10045.4.3.3': 'ecdsa-sha384',
  '1.2.840.10045.4.3.4': 'ecdsa-sha512',
  '2.16.840.1.101.3.4.3.10': 'ecdsa-sha3-256',
  '2.16.840.1.101.3.4.3.11': 'ecdsa-sha3-384',
  '2.16.840.1.101.3.4.3.12': 'ecdsa-sha3-512',
  '2.16.840.1.101.3.4.3.17': 'ml-dsa-44',
  '2.16.840.1.101.3.4.3.18': 'ml-dsa-65',
  '2.16.840.1.101.3.4.3.19': 'ml-dsa-87',
  '1.2.156.10197.1.501': 'sm2-sm3',
};

/*
 * ContentInfo   { contentType OID, content [0] { SignedData } }
 * SignedData    { version, digestAlgorithms SET, encapContentInfo, certificates [0]?, crls [1]?, signerInfos SET { SignerInfo… } }
 * SignerInfo    { version, sid, digestAlgorithm, signedAttrs [0]?, signatureAlgorithm, signature OCTET STRING, … }
 * sid           = { issuer Name, serialNumber INTEGER } | [0] subjectKeyIdentifier
 */

/**
 * The first signer. Throws FormatError for anything that is not a SignedData in DER with a signer.
 * @param offset of `bytes` in the file, for messages
 */
export function parseCmsSigner(bytes: Uint8Array, file: string, offset = 0): CmsSigner {
  const top = new DerReader(bytes, file, offset);
  const info = top.inside(top.expect(DER_SEQUENCE, 'a ContentInfo'));
  const type = info.expect(DER_OBJECT_IDENTIFIER, 'a content type');
  const typeName = objectIdentifier(type.content);
  if (typeName !== SIGNED_DATA) {
    throw new FormatError({ file, offset: type.offset, expected: `SignedData (${SIGNED_DATA})`, actual: typeName ?? 'a bad object identifier' });
  }
  const content = info.inside(info.expect(DER_CONTEXT_0_CONSTRUCTED, 'the content'));
  const signed = content.inside(content.expect(DER_SEQUENCE, 'a SignedData'));
  signed.expect(DER_INTEGER, 'the version of the SignedData');
  signed.expect(DER_SET, 'the digest algorithms');
  signed.expect(DER_SEQUENCE, 'the encapsulated content');
  signed.optional(DER_CONTEXT_0_CONSTRUCTED, 'the certificates');
  signed.optional(DER_CONTEXT_1_CONSTRUCTED, 'the revocation lists');
  const signers = signed.inside(signed.expect(DER_SET, 'the signers'));
  return parseSignerInfo(signers.inside(signers.expect(DER_SEQUENCE, 'a SignerInfo')));
}

function parseSignerInfo(info: DerReader): CmsSigner {
  info.expect(DER_INTEGER, 'the version of the SignerInfo');
  const sid = info.next('the signer');
  const { issuer, keyId } = parseSignerIdentifier(info, sid);
  const digest = parseAlgorithm(info, 'the digest algorithm', DIGESTS);
  info.optional(DER_CONTEXT_0_CONSTRUCTED, 'the signed attributes');
  const signatureAlgorithm = parseAlgorithm(info, 'the signature algorithm', SIGNATURES);
  const signature = info.expect(DER_OCTET_STRING, 'the signature').content;
  return { issuer, keyId, digest, signatureAlgorithm, signature };
}

function parseSignerIdentifier(info: DerReader, sid: DerElement): Pick<CmsSigner, 'issuer' | 'keyId'> {
  if (sid.tag === DER_CONTEXT_0) return { issuer: '', keyId: sid.content };
  const inside = info.inside(sid);
  const name = inside.expect(DER_SEQUENCE, 'the issuer');
  const serial = inside.expect(DER_INTEGER, 'the serial number');
  return { issuer: commonName(inside.inside(name)), keyId: integerMagnitude(serial.content) };
}

/** The first common name; without one the last attribute, as kmod has it. Name ::= SEQUENCE OF SET OF { type, value } */
function commonName(name: DerReader): string {
  let last = '';
  for (let count = 0; !name.atEnd && count < MAX_NAME_ATTRIBUTES;) {
    const set = name.inside(name.expect(DER_SET, 'a part of the issuer'));
    for (; !set.atEnd && count < MAX_NAME_ATTRIBUTES; count++) {
      const attribute = set.inside(set.expect(DER_SEQUENCE, 'an attribute of the issuer'));
      const type = attribute.expect(DER_OBJECT_IDENTIFIER, 'the type of an attribute');
      last = textOf(attribute.next('the value of an attribute'));
      if (objectIdentifier(type.content) === COMMON_NAME) return last;
    }
  }
  return last;
}

/** A DirectoryString. What it holds comes from whoever made the key: kmod ends it at a NUL, too. */
function textOf({ tag, content }: DerElement): string {
  const bytes = Buffer.from(content);
  const text = tag === DER_BMP_STRING && bytes.length % 2 === 0 ? Buffer.from(bytes).swap16().toString('utf16le') : bytes.toString('utf8');
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

/** AlgorithmIdentifier ::= SEQUENCE { algorithm OID, parameters? } */
function parseAlgorithm(reader: DerReader, what: string, names: Readonly<Record<string, string>>): string {
  const algorithm = reader.inside(reader.expect(DER_SEQUENCE, what));
  const identifier = objectIdentifier(algorithm.expect(DER_OBJECT_IDENTIFIER, what).content);
  return identifier === undefined ? 'unknown' : names[identifier] ?? identifier;
}
